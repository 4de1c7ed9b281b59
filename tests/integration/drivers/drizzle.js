// Drizzle ORM over node-postgres and over postgres.js.
'use strict'

const assert = require('assert')
const { sql, eq } = require('drizzle-orm')
const core = require('drizzle-orm/pg-core')
const nodePostgres = require('drizzle-orm/node-postgres')
const postgresJs = require('drizzle-orm/postgres-js')
const { Pool } = require('pg')
const postgres = require('postgres')
const { row, run, times, address, url } = require('./rows')

const item = (name) => core.pgTable(name, {
    id: core.serial('id').primaryKey(), name: core.text('name').notNull().unique(), tags: core.jsonb('tags')
})

async function withPg(work, options = {}) {
    const pool = new Pool({ max: 10, ...options })
    try {
        return await work(nodePostgres.drizzle(pool), pool)
    } finally {
        await pool.end()
    }
}

async function withPostgresJs(work, options = {}) {
    const client = postgres(url, { max: 10, onnotice: () => {}, ...options })
    try {
        return await work(postgresJs.drizzle(client), client)
    } finally {
        await client.end({ timeout: 5 })
    }
}

async function withTable(db, name, work) {
    await db.execute(sql.raw(`DROP TABLE IF EXISTS ${name}`))
    await db.execute(sql.raw(`CREATE TABLE ${name} (id serial PRIMARY KEY, name text NOT NULL UNIQUE, tags jsonb)`))
    await work(item(name))
    await db.execute(sql.raw(`DROP TABLE ${name}`))
}

const crud = (db, table) => Promise.all(Array.from({ length: 15 }, async (_, i) => {
    const [made] = await db.insert(table).values({ name: `item ${i}`, tags: { i } }).returning()
    assert.deepStrictEqual(await db.select().from(table).where(eq(table.id, made.id)), [made])
    await db.update(table).set({ name: `new ${i}` }).where(eq(table.id, made.id))
    const [found] = await db.select({ name: table.name }).from(table).where(eq(table.id, made.id))
    assert.strictEqual(found.name, `new ${i}`)
    await db.delete(table).where(eq(table.id, made.id))
}))

const nested = async (db, table) => {
    await db.transaction(async (tx) => {
        await tx.insert(table).values({ name: 'outer' })
        await assert.rejects(tx.transaction(async (inner) => {
            await inner.insert(table).values({ name: 'inner' })
            await inner.insert(table).values({ name: 'outer' })
        }))
        await tx.insert(table).values({ name: 'after' })
    })
    const found = await db.select({ name: table.name }).from(table).orderBy(table.id)
    assert.deepStrictEqual(found.map((r) => r.name), ['outer', 'after'])
    await assert.rejects(db.transaction((tx) => tx.rollback()))
}

row('crud_over_pg', (number) => withPg((db) => withTable(db, `drizzle_a${number}`, (t) => crud(db, t))))
row('crud_over_postgres_js', (n) => withPostgresJs((db) => withTable(db, `drizzle_b${n}`, (t) => crud(db, t))))
row('nested_transactions_over_pg', (n) => withPg((db) => withTable(db, `drizzle_c${n}`, (t) => nested(db, t))))
row('nested_transactions_over_postgres_js', (n) => withPostgresJs((db) =>
    withTable(db, `drizzle_d${n}`, (t) => nested(db, t))))

row('prepared_query', (number) => withPg((db) => withTable(db, `drizzle_e${number}`, async (table) => {
    await db.insert(table).values(Array.from({ length: 10 }, (_, i) => ({ name: `item ${i}` })))
    const byId = db.select({ id: table.id }).from(table).where(eq(table.id, sql.placeholder('id'))).prepare('by_id')
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
        assert.deepStrictEqual(await byId.execute({ id: i % 10 + 1 }), [{ id: i % 10 + 1 }])
    }))
})))

row('startup_search_path', (number) => withPg((db) => times(20, async () => {
    assert.strictEqual((await db.execute(sql`SELECT name FROM place`)).rows[0].name, `tenant_${number}`)
}), { options: `-c search_path=tenant_${number}` }))

row('set_config_per_transaction', (number) => withPg((db) => Promise.all(Array.from({ length: 20 }, (_, i) =>
    db.transaction(async (tx) => {
        await tx.execute(sql`SELECT set_config('app.user_id', ${String(i % 2 + 1)}, true)`)
        assert.strictEqual((await tx.execute(sql`SELECT title FROM document`)).rows.length, i % 2 + 1)
    })))))

row('settings_of_one_connection', (number) => withPostgresJs((db) => db.execute(
    sql.raw(`SELECT set_config('app.user_id', '${number}', false), set_config('timezone', 'Asia/Tokyo', false)`))
    .then(() => times(20, async () => {
        assert.strictEqual((await db.execute(sql`SELECT title FROM document`)).length, number)
        assert.strictEqual((await db.execute(sql`SELECT current_setting('timezone') AS t`))[0].t, 'Asia/Tokyo')
    })), { max: 1 }))

row('migrator', (number) => withPg(async (db) => {
    const { migrate } = require('drizzle-orm/node-postgres/migrator')
    const fs = require('fs'), os = require('os'), path = require('path')
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgweir-drizzle-'))
    fs.mkdirSync(path.join(folder, 'meta'))
    const steps = ['first', 'second']
    const entries = steps.map((tag, idx) => ({ idx, version: '7', when: 1700000000000 + idx, tag, breakpoints: true }))
    fs.writeFileSync(path.join(folder, 'meta', '_journal.json'), JSON.stringify({ dialect: 'postgresql', entries }))
    fs.writeFileSync(path.join(folder, 'first.sql'), `CREATE TABLE drizzle_m${number} (a int);`)
    fs.writeFileSync(path.join(folder, 'second.sql'), `ALTER TABLE drizzle_m${number} ADD COLUMN b int;\n` +
        `--> statement-breakpoint\nINSERT INTO drizzle_m${number} VALUES (1, 2);`)
    const options = { migrationsFolder: folder, migrationsSchema: `drizzle_s${number}` }
    await db.execute(sql.raw(`DROP SCHEMA IF EXISTS drizzle_s${number} CASCADE`))
    await db.execute(sql.raw(`DROP TABLE IF EXISTS drizzle_m${number}`))
    await migrate(db, options)
    await migrate(db, options)
    assert.deepStrictEqual((await db.execute(sql.raw(`SELECT * FROM drizzle_m${number}`))).rows, [{ a: 1, b: 2 }])
    await db.execute(sql.raw(`DROP TABLE drizzle_m${number}; DROP SCHEMA drizzle_s${number} CASCADE`))
    fs.rmSync(folder, { recursive: true })
}))

run()
