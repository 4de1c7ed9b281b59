# Sequel: a threaded pool that sets standard_conforming_strings and more at connect; prepared statements; savepoints.

require 'sequel'
require_relative 'rows'

def connected(**more)
  db = Sequel.connect(adapter: 'postgres', host: ENV['PGHOST'], port: ENV['PGPORT'], user: ENV['PGUSER'],
                      database: ENV['PGDATABASE'], max_connections: 6, keep_reference: false, **more)
  yield db
ensure
  db&.disconnect
end

row('crud_in_threads') do |number|
  connected do |db|
    db.create_table!(:"sequel_a#{number}") { primary_key :id; String :name, unique: true }
    items = db[:"sequel_a#{number}"]
    Array.new(6) do |t|
      Thread.new do
        8.times do |i|
          id = items.insert(name: "item #{t}/#{i}")
          same("item #{t}/#{i}", items.first(id: id)[:name])
          items.where(id: id).update(name: "new #{t}/#{i}")
        end
      end
    end.each(&:join)
    same(48, items.where(Sequel.like(:name, 'new %')).count)
    db.drop_table(:"sequel_a#{number}")
  end
end

row('pins_nothing') do |number|
  connected(max_connections: 1) do |db|
    items = db[:audited]
    insert = items.prepare(:insert, :insert_audited, owner: number, v: :$v)
    8.times do |i|
      db.transaction(rollback: i.odd? ? :always : nil) do
        insert.call(v: "sequel #{i}")
        db.transaction(savepoint: true, rollback: :always) { items.insert(owner: number, v: 'undone') }
        same(1, items.where(owner: number).where(Sequel.lit("v LIKE 'sequel%' OR v = 'undone'")).count)
        items.where(owner: number, v: "sequel #{i}").delete
      end
    end
  end
end

row('prepared_statements') do |number|
  connected do |db|
    ask = db.from(Sequel.function(:generate_series, 1, 10).as(:g, [:i])).where(i: :$i).prepare(:first, :ask)
    30.times { |i| same({ i: i % 10 + 1 }, ask.call(i: i % 10 + 1)) }
  end
end

row('search_path_and_timeouts') do |number|
  connected(search_path: ["tenant_#{number}"], driver_options: { application_name: 'shop' },
            after_connect: proc { |one| one.exec("SET app.user_id = '#{number}'") }) do |db|
    20.times do
      same("tenant_#{number}", db[:place].get(:name))
      same(number, db[Sequel[:public][:document]].count)
    end
  end
end

row('savepoints_and_isolation') do |number|
  connected do |db|
    db.create_table!(:"sequel_b#{number}") { Integer :id, primary_key: true }
    items = db[:"sequel_b#{number}"]
    10.times do |i|
      db.transaction(isolation: :repeatable) do
        items.insert(id: i)
        fails(Sequel::UniqueConstraintViolation) { db.transaction(savepoint: true) { items.insert(id: i) } }
      end
    end
    same(10, items.count)
    db.drop_table(:"sequel_b#{number}")
  end
end

row('held_and_plain_cursors') do |_number|
  connected do |db|
    series = db.from(Sequel.function(:generate_series, 1, 100).as(:g, [:i]))
    same(5050, series.use_cursor(rows_per_fetch: 7).map(:i).sum)
    same(5050, series.use_cursor(rows_per_fetch: 7, hold: true).map(:i).sum)
  end
end

row('listen') do |number|
  connected do |db|
    got = nil
    db.listen("sequel_#{number}", timeout: 10, after_listen: proc {
      connected { |other| other.notify("sequel_#{number}", payload: 'hello') }
    }) { |_, _, payload| got = payload }
    same('hello', got)
  end
end

row('temporary_table_of_one_connection') do |number|
  connected do |db|
    db.synchronize do
      db.create_table(:basket, temp: true) { Integer :n }
      15.times { |i| db[:basket].insert(n: i * number) }
      same(105 * number, db[:basket].sum(:n).to_i)
    end
  end
end

row('alter_table') do |number|
  connected do |db|
    db.create_table!(:"sequel_c#{number}") { Integer :a }
    items = db[:"sequel_c#{number}"]
    items.insert(a: 1)
    ask = items.where(a: :$a).prepare(:select, :"ask_#{number}")
    6.times { same([{ a: 1 }], ask.call(a: 1)) }
    db.alter_table(:"sequel_c#{number}") { add_column :b, Integer, default: 2 }
    same([{ a: 1, b: 2 }], items.all)
    db.drop_table(:"sequel_c#{number}")
  end
end

run_rows
