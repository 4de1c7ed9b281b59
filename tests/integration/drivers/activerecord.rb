# ActiveRecord: prepared statements a1, a2, ..., SETs at connect, migrations under an advisory lock, savepoints.

require 'active_record'
require_relative 'rows'

ADDRESS = {
  adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: ENV['PGUSER'], database: ENV['PGDATABASE'],
  pool: 6, sslmode: ENV['PGSSLMODE']
}.freeze

# Each client has its own connection handler: a base class, so that both of a row are there at once.
def base(number, **more)
  name = "Base#{number}#{more.hash.abs}"
  made = Class.new(ActiveRecord::Base) { self.abstract_class = true }
  Object.const_set(name, made)
  made.establish_connection(ADDRESS.merge(more))
  made
end

def value(base, sql)
  base.connection.select_value(sql)
end

def model(base, table)
  base.connection.create_table(table, force: true) do |t|
    t.string :name, index: { unique: true }
    t.jsonb :tags
    t.integer :list, array: true
  end
  Class.new(base) { self.table_name = table }.tap(&:reset_column_information)
end

row('crud') do |number|
  db = base(number)
  item = model(db, "rails_a#{number}")
  15.times do |i|
    made = item.create!(name: "item #{i}", tags: { 'i' => i }, list: [1, i])
    same([made.id, { 'i' => i }, [1, i]], item.find_by(name: "item #{i}").then { |f| [f.id, f.tags, f.list] })
    made.update!(name: "new #{i}")
    same("new #{i}", item.find(made.id).name)
  end
  same(15, item.where('name LIKE ?', 'new %').count)
  item.find_each(batch_size: 4) { |found| found.destroy! }
  db.connection.drop_table("rails_a#{number}")
end

row('pins_nothing') do |number|
  db = base(number)
  item = Class.new(db) { self.table_name = 'audited' }
  8.times do |i|
    db.transaction do
      made = item.create!(owner: number, v: "rails #{i}")
      db.transaction(requires_new: true) do
        item.create!(owner: number, v: 'undone')
        raise ActiveRecord::Rollback
      end
      same(["rails #{i}"], item.where(owner: number).where("v LIKE 'rails%' OR v = 'undone'").pluck(:v))
      made.destroy!
    end
    same(0, item.where(owner: number, v: "rails #{i}").count)
    db.connection.clear_cache! if i == 4
  end
end

row('pool_of_threads') do |number|
  db = base(number)
  threads = Array.new(6) do |i|
    Thread.new do
      10.times do
        db.connection_pool.with_connection do |one|
          found = one.exec_query('SELECT $1::int + $2::int', 'SQL', [
            ActiveRecord::Relation::QueryAttribute.new('a', i, ActiveRecord::Type::Integer.new),
            ActiveRecord::Relation::QueryAttribute.new('b', number, ActiveRecord::Type::Integer.new)
          ], prepare: true)
          same(i + number, found.rows[0][0])
        end
      end
    end
  end
  threads.each(&:join)
end

row('nested_transactions') do |number|
  db = base(number)
  item = model(db, "rails_b#{number}")
  db.transaction do
    item.create!(name: 'outer')
    db.transaction(requires_new: true) do
      item.create!(name: 'inner')
      raise ActiveRecord::Rollback
    end
    fails(ActiveRecord::RecordNotUnique) { db.transaction(requires_new: true) { item.create!(name: 'outer') } }
    item.create!(name: 'after')
  end
  db.transaction(isolation: :serializable) { same(%w[outer after], item.order(:id).pluck(:name)) }
  db.connection.drop_table("rails_b#{number}")
end

row('variables_and_search_path') do |number|
  variables = { statement_timeout: 7000, timezone: 'Asia/Tokyo' }
  db = base(number, schema_search_path: "tenant_#{number}", variables: variables)
  20.times do
    same("tenant_#{number}", value(db, 'SELECT name FROM place'))
    same('7s', value(db, 'SHOW statement_timeout'))
  end
end

row('apartments_switch_the_search_path') do |number|
  db = base(number)
  20.times do |i|
    db.connection.schema_search_path = "tenant_#{i % 2 + 1}"
    same("tenant_#{i % 2 + 1}", value(db, 'SELECT name FROM place'))
  end
end

row('migrations_under_an_advisory_lock') do |number|
  db = base(number)
  connection = db.connection
  got = (1..100).any? do
    connection.get_advisory_lock(4_422_000) || connection.execute('SELECT pg_sleep(0.05)') && false
  end
  same(true, got)
  connection.create_table("rails_m#{number}", force: true) { |t| t.integer :a }
  connection.execute("INSERT INTO rails_m#{number} (a) VALUES (1)")
  same({ 'id' => 1, 'a' => 1 }, connection.select_one("SELECT * FROM rails_m#{number}"))
  connection.add_column("rails_m#{number}", :b, :integer, default: 2)
  connection.add_index("rails_m#{number}", :b, algorithm: :concurrently)
  same({ 'id' => 1, 'a' => 1, 'b' => 2 }, connection.select_one("SELECT * FROM rails_m#{number}"))
  connection.drop_table("rails_m#{number}")
  same(true, connection.release_advisory_lock(4_422_000))
end

row('column_added_under_a_model') do |number|
  db = base(number)
  item = model(db, "rails_c#{number}")
  made = item.create!(name: 'one')
  8.times { same('one', item.find(made.id).name) }
  db.connection.execute("ALTER TABLE rails_c#{number} ADD COLUMN extra int DEFAULT 5")
  8.times { same(5, item.find(made.id).attributes['extra']) }
  db.connection.drop_table("rails_c#{number}")
end

row('row_security_setting_and_role') do |number|
  db = base(number)
  db.connection.execute("SET ROLE clerk; SET app.user_id = '#{number}'")
  15.times { same(number, value(db, 'SELECT count(*) FROM document')) }
  db.connection.reset!
  same('web', value(db, 'SELECT current_user::text'))
end

row('small_statement_limit_deallocates') do |number|
  db = base(number, statement_limit: 3)
  item = model(db, "rails_d#{number}")
  item.create!(name: 'one')
  30.times { |i| same(1, item.where('name = ? OR id = 0', 'one').where(name: 'one').limit(1 + i % 7).to_a.size) }
  db.connection.drop_table("rails_d#{number}")
end

ActiveRecord::Base.logger = nil
run_rows
