// Kysely: a query builder over node-postgres.
'use strict'

const assert = require('assert')
const { Kysely, PostgresDialect, Migrator, sql } = require('kysely')
const { Pool } = require('pg')
const { row, run, times } = require('./rows')

async function withKysely(options, work) {
    const db = new Kysely({ dialect: new PostgresDialect({ pool: new Pool({ max: 10, ...options }) }) })
    try {
        return await work(db)
    } finally {
        await db.destroy()
    }
}

row('crud_and_transactions', (number) => withKysely({}, async (db) => {
    const table = `kysely_a${number}`
    await db.schema.dropTable(table).ifExists().execute()
    await db.schema.createTable(table).addColumn('id', 'serial', (c) => c.primaryKey())
        .addColumn('name', 'text', (c) => c.unique()).execute()
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const { id } = await db.insertInto(table).values({ name: `item ${i}` }).returning('id').executeTakeFirst()
        await db.updateTable(table).set({ name: `new ${i}` }).where('id', '=', id).execute()
        const found = await db.selectFrom(table).select('name').where('id', '=', id).executeTakeFirst()
        assert.strictEqual(found.name, `new ${i}`)
    }))
    await assert.rejects(db.transaction().execute(async (trx) => {
        await trx.deleteFrom(table).execute()
        await trx.insertInto(table).values([{ name: 'x' }, { name: 'x' }]).execute()
    }), { code: '23505' })
    assert.strictEqual((await db.selectFrom(table).selectAll().execute()).length, 20)
    await db.schema.dropTable(table).execute()
}))

row('migrator_takes_its_lock', (number) => withKysely({}, async (db) => {
    const migrations = {
        a: { up: (k) => k.schema.createTable(`kysely_m${number}`).addColumn('a', 'integer').execute(),
            down: (k) => k.schema.dropTable(`kysely_m${number}`).execute() },
        b: { up: (k) => k.schema.alterTable(`kysely_m${number}`).addColumn('b', 'integer').execute(),
            down: (k) => k.schema.alterTable(`kysely_m${number}`).dropColumn('b').execute() }
    }
    const migrator = new Migrator({
        db, provider: { getMigrations: async () => migrations }, migrationTableName: `kysely_t${number}`,
        migrationLockTableName: `kysely_l${number}`
    })
    for (const step of ['migrateToLatest', 'migrateDown', 'migrateToLatest', 'migrateDown', 'migrateDown']) {
        // It first looks at the columns of all tables there are, and PostgreSQL gives up when one of them, the other
        // program's, is dropped meanwhile.
        let error
        for (let tries = 0; tries < 20; tries++) {
            ({ error } = await migrator[step]())
            if (error === undefined || !['42P01', '42703', 'XX000'].includes(error.code)) break
        }
        assert.strictEqual(error, undefined)
    }
    await db.schema.dropTable(`kysely_t${number}`).execute()
    await db.schema.dropTable(`kysely_l${number}`).execute()
}))

row('one_connection_with_settings', (number) => withKysely({}, (db) => db.connection().execute(async (one) => {
    await sql`SELECT set_config('app.user_id', ${String(number)}, false),
        set_config('search_path', ${'tenant_1'}, false)`.execute(one)
    await times(20, async () => {
        assert.strictEqual((await one.selectFrom('public.document').selectAll().execute()).length, number)
        assert.deepStrictEqual(await one.selectFrom('place').selectAll().execute(), [{ name: 'tenant_1' }])
    })
    await sql`RESET ALL`.execute(one)
})))

run()
