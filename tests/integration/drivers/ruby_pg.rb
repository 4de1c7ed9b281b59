# Ruby's pg, bare.

require 'pg'
require_relative 'rows'

def connected(**more)
  db = PG.connect(**more)
  yield db
ensure
  db&.close
end

def value(db, sql, values = [])
  db.exec_params(sql, values).getvalue(0, 0)
end

row('parameters') do |number|
  connected do |db|
    40.times { |i| same((i + number).to_s, value(db, 'SELECT $1::int + $2::int', [i, number])) }
  end
end

row('named_statements_and_deallocate') do |number|
  connected do |db|
    15.times do |i|
      db.prepare('mine', "SELECT $1::int * #{number} + #{i}")
      same((2 * number + i).to_s, db.exec_prepared('mine', [2]).getvalue(0, 0))
      db.exec('DEALLOCATE mine')
    end
    db.prepare('kept', 'SELECT $1::int')
    20.times { |i| same(i.to_s, db.exec_prepared('kept', [i]).getvalue(0, 0)) }
  end
end

row('name_free_after_a_failed_parse') do |_number|
  connected do |db|
    5.times { fails(PG::UndefinedTable) { db.prepare('later', 'SELECT * FROM ruby_nowhere') } }
    db.prepare('later', 'SELECT 7')
    same('7', db.exec_prepared('later').getvalue(0, 0))
    fails(PG::DuplicatePstatement) { db.prepare('later', 'SELECT 8') }
    same('7', db.exec_prepared('later').getvalue(0, 0))
  end
end

row('startup_settings') do |number|
  connected(options: "-c search_path=tenant_#{number} -c statement_timeout=7000", application_name: 'shop') do |db|
    20.times do
      same("tenant_#{number}", value(db, 'SELECT name FROM place'))
      same('7s', value(db, 'SHOW statement_timeout'))
    end
  end
end

row('set_and_encoding') do |number|
  connected do |db|
    db.exec("SET search_path TO tenant_#{number}; SET app.user_id = '#{number}'")
    db.set_client_encoding('LATIN1')
    20.times do
      same("tenant_#{number}", value(db, 'SELECT name FROM place'))
      same(number.to_s, value(db, 'SELECT count(*) FROM public.document'))
      same('1', value(db, 'SELECT length($1)', ["\xE4".b]))
    end
  end
end

row('wait_for_notify') do |number|
  connected do |db|
    db.exec("LISTEN ruby_#{number}")
    3.times do |i|
      connected { |other| other.exec("NOTIFY ruby_#{number}, 'hello #{i}'") }
      got = nil
      same("ruby_#{number}", db.wait_for_notify(10) { |_, _, payload| got = payload })
      same("hello #{i}", got)
    end
  end
end

row('transactions') do |number|
  connected do |db|
    db.exec("SET client_min_messages = warning; DROP TABLE IF EXISTS ruby_tx_#{number}")
    db.exec("CREATE TABLE ruby_tx_#{number} (id int PRIMARY KEY)")
    10.times do |i|
      fails(PG::UniqueViolation) do
        db.transaction { 2.times { db.exec_params("INSERT INTO ruby_tx_#{number} VALUES ($1)", [i]) } }
      end
      db.transaction { db.exec_params("INSERT INTO ruby_tx_#{number} VALUES ($1)", [i]) }
    end
    same('10', value(db, "SELECT count(*) FROM ruby_tx_#{number}"))
    db.exec("DROP TABLE ruby_tx_#{number}")
  end
end

row('temporary_table_copied_into') do |number|
  connected do |db|
    db.exec('CREATE TEMP TABLE basket (n int, v text)')
    db.copy_data('COPY basket FROM STDIN') { 1000.times { |i| db.put_copy_data("#{i}\trow #{number}\n") } }
    same('1000', value(db, 'SELECT count(*) FROM basket WHERE v = $1', ["row #{number}"]))
    lines = 0
    db.copy_data('COPY basket TO STDOUT') { lines += 1 while db.get_copy_data }
    same(1000, lines)
  end
end

row('pipeline_mode') do |number|
  connected do |db|
    5.times do
      db.enter_pipeline_mode
      20.times { |i| db.send_query_params('SELECT $1::int * $2::int', [i, number]) }
      db.pipeline_sync
      20.times do |i|
        same((i * number).to_s, db.get_result.getvalue(0, 0))
        same(nil, db.get_result)
      end
      same(PG::PGRES_PIPELINE_SYNC, db.get_result.result_status)
      db.exit_pipeline_mode
    end
  end
end

row('single_rows_and_cancel') do |number|
  connected do |db|
    db.send_query('SELECT i FROM generate_series(1, 1000) i')
    db.set_single_row_mode
    sum = 0
    db.get_result.stream_each { |found| sum += found['i'].to_i }
    db.get_result
    same(500_500, sum)
    db.send_query('SELECT pg_sleep(20)')
    db.cancel
    fails(PG::QueryCanceled) { db.get_last_result }
    same(number.to_s, value(db, 'SELECT $1::int', [number]))
  end
end

run_rows
