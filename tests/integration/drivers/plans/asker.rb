# Clients of ruby-pg that do what the lines of the standard input say: see test_keep_plans_drivers.py.

require 'json'
require 'pg'

class Client
  def initialize
    @notices = []
    @connection = PG.connect(ENV['PGUSER'] && { user: ENV['PGUSER'], dbname: ENV['PGDATABASE'] })
    @connection.set_notice_processor { |said| @notices << said }
  end

  def typed(value)
    case value
    when Hash then value.keys == ['json'] ? JSON.generate(value['json']) : value.values[0]
    when Array then "{#{value.join(',')}}"
    else value
    end
  end

  def told(found)
    { columns: found.fields.each_with_index.map { |name, i| [name, found.ftype(i)] }, rows: found.values, tag: found.cmd_status }
  end

  def ask(sql, values)
    told(values.empty? ? @connection.exec(sql) : @connection.exec_params(sql, values.map { |v| typed(v) }))
  end

  # One Sync for all, by libpq's pipeline mode.
  def many(asks)
    @connection.enter_pipeline_mode
    asks.each { |sql, values| @connection.send_query_params(sql, values.map { |v| typed(v) }) }
    @connection.pipeline_sync
    all = asks.map do
      found = nil
      while (some = @connection.get_result)
        found = some
      end
      failed = [PG::PGRES_FATAL_ERROR, PG::PGRES_PIPELINE_ABORTED].include?(found.result_status)
      failed ? { error: [found.error_field(PG::PG_DIAG_SQLSTATE), found.error_message] } : told(found)
    end
    @connection.get_result
    @connection.exit_pipeline_mode
    { all: all }
  end

  def fetch(sql, values, _size)
    @connection.send_query_params(sql, values.map { |v| typed(v) })
    @connection.set_single_row_mode
    rows = []
    while (found = @connection.get_result)
      found.check
      rows << found.values
    end
    { rows: rows }
  end

  def answer
    said = begin
      yield self
    rescue PG::Error => error
      @connection.get_last_result rescue nil
      { error: [error.result&.error_field(PG::PG_DIAG_SQLSTATE), error.message] }
    end
    said.merge(notices: @notices.slice!(0..))
  end
end

clients = Hash.new { |all, name| all[name] = Client.new }
$stdout.sync = true
$stdin.each_line do |line|
  todo = JSON.parse(line)
  puts JSON.generate(clients[todo['to']].answer do |client|
    if todo['many'] then client.many(todo['many'])
    elsif todo['size'] then client.fetch(todo['sql'], todo['values'], todo['size'])
    else client.ask(todo['sql'], todo['values'])
    end
  end)
end
