# What test_tls_drivers.py asks of each driver: see there.
require 'pg'

begin
  db = PG.connect
rescue PG::Error => error
  puts "refused: #{error.message}"
  exit 3
end

def must(step, is_so)
  return if is_so

  puts "not ok #{step}"
  exit 1
end

must('query', db.ssl_in_use? && db.exec('SELECT 42').getvalue(0, 0) == '42')
puts 'ok query'
db.prepare('doubled', 'SELECT $1::int * 2')
20.times { |i| must('prepared', db.exec_prepared('doubled', [i]).getvalue(0, 0).to_i == 2 * i) }
puts 'ok prepared'
must('large', db.exec("SELECT repeat('x', 8000000)").getvalue(0, 0).length == 8_000_000)
must('large', db.exec("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i").ntuples == 20_000)
puts 'ok large'
db.send_query('SELECT pg_sleep(30)')
sleep 0.3
must('cancel', db.cancel.nil?)
begin
  db.get_last_result
rescue PG::QueryCanceled
  puts 'ok cancel'
end
db.close
