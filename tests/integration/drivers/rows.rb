# Rows of a stack in Ruby: row(name) { |number| ... } says one, run_rows runs those named on the command line (else
# all), each in two clients (or CLIENTS) at once, and prints a line for each.

ROWS = {}

def row(name, &work)
  ROWS[name] = work
end

def same(wanted, found)
  raise "wanted #{wanted.inspect}, found #{found.inspect}" unless wanted == found
end

def fails(error)
  yield
rescue error
  nil
else
  raise "no #{error}"
end

def run_rows
  failed = false
  Thread.report_on_exception = false
  (ARGV.empty? ? ROWS.keys : ARGV).each do |name|
    threads = (1..(ENV['CLIENTS'] || 2).to_i).map { |number| Thread.new { ROWS[name].call(number) } }
    begin
      threads.each(&:join)
      puts "ok #{name}"
    rescue StandardError => error
      failed = true
      puts "not ok #{name}: #{error.class} #{error.message.tr("\n", ' ')} #{error.backtrace.first}"
    end
  end
  exit(failed ? 1 : 0)
end
