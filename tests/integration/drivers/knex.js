// Knex: its pool (tarn), transactions, migrations with their lock, schema builder.
'use strict'

const assert = require('assert')
const makeKnex = require('knex')
const { row, run, times, address } = require('./rows')

async function withKnex(options, work) {
    const knex = makeKnex({ client: 'pg', connection: address, pool: { min: 2, max: 10 }, ...options })
    try {
        return await work(knex)
    } finally {
        await knex.destroy()
    }
}

row('crud', (number) => withKnex({}, async (knex) => {
    const table = `knex_a${number}`
    await knex.schema.dropTableIfExists(table)
    await knex.schema.createTable(table, (t) => {
        t.increments('id')
        t.string('name').unique()
        t.jsonb('tags')
    })
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const [{ id }] = await knex(table).insert({ name: `item ${i}`, tags: { i } }).returning('id')
        assert.deepStrictEqual(await knex(table).where({ id }).first(), { id, name: `item ${i}`, tags: { i } })
        await knex(table).where({ id }).update({ name: `new ${i}` })
    }))
    assert.strictEqual((await knex(table).where('name', 'like', 'new %')).length, 20)
    await knex.batchInsert(table, Array.from({ length: 300 }, (_, i) => ({ name: `batch ${i}` })), 50)
    assert.strictEqual(Number((await knex(table).count())[0].count), 320)
    await knex.schema.dropTable(table)
}))

row('search_path_option', (number) => withKnex({ searchPath: [`tenant_${number}`, 'public'] }, (knex) =>
    Promise.all(Array.from({ length: 40 }, async () => {
        assert.strictEqual((await knex('place').first()).name, `tenant_${number}`)
    }))))

row('after_create_hook', (number) => withKnex({
    pool: {
        min: 2, max: 10,
        afterCreate(connection, done) {
            connection.query(`SET timezone = 'Asia/Tokyo'; SET app.user_id = '${number}'`, (e) => done(e, connection))
        }
    }
}, (knex) => Promise.all(Array.from({ length: 40 }, async () => {
    assert.strictEqual((await knex.raw('SHOW timezone')).rows[0].TimeZone, 'Asia/Tokyo')
    assert.strictEqual((await knex('document')).length, number)
}))))

row('transactions_and_savepoints', (number) => withKnex({}, async (knex) => {
    const table = `knex_b${number}`
    await knex.schema.dropTableIfExists(table)
    await knex.schema.createTable(table, (t) => { t.integer('id').primary() })
    await knex.transaction(async (trx) => {
        await trx(table).insert({ id: 1 })
        await assert.rejects(trx.transaction((inner) => inner(table).insert({ id: 1 })), { code: '23505' })
        await trx(table).insert({ id: 2 })
    })
    await assert.rejects(knex.transaction(async (trx) => {
        await trx(table).del()
        throw new Error('no')
    }), /no/)
    assert.strictEqual((await knex(table)).length, 2)
    await knex.schema.dropTable(table)
}))

row('migrations_up_and_down', (number) => withKnex({}, async (knex) => {
    const steps = [1, 2].map((n) => ({
        name: `step_${n}`,
        up: (k) => n === 1 ? k.schema.createTable(`knex_m${number}`, (t) => t.integer('a'))
            : k.schema.alterTable(`knex_m${number}`, (t) => t.integer('b')),
        down: (k) => n === 1 ? k.schema.dropTable(`knex_m${number}`)
            : k.schema.alterTable(`knex_m${number}`, (t) => t.dropColumn('b'))
    }))
    const config = {
        tableName: `knex_migrations_${number}`,
        migrationSource: {
            getMigrations: async () => steps, getMigrationName: (s) => s.name, getMigration: async (s) => s
        }
    }
    for (let i = 0; i < 2; i++) {
        await knex.migrate.latest(config)
        await knex(`knex_m${number}`).insert({ a: 1, b: 2 })
        assert.deepStrictEqual(await knex(`knex_m${number}`), [{ a: 1, b: 2 }])
        await knex.migrate.rollback(config, true)
    }
    await knex.schema.dropTable(`knex_migrations_${number}`).dropTable(`knex_migrations_${number}_lock`)
}))

row('column_added_between_queries', (number) => withKnex({}, async (knex) => {
    const table = `knex_c${number}`
    await knex.schema.dropTableIfExists(table)
    await knex.schema.createTable(table, (t) => { t.integer('a') })
    await knex(table).insert({ a: 1 })
    await times(6, async () => assert.deepStrictEqual(await knex(table).select('*'), [{ a: 1 }]))
    await knex.schema.alterTable(table, (t) => { t.integer('b').defaultTo(2) })
    await times(6, async () => assert.deepStrictEqual(await knex(table).select('*'), [{ a: 1, b: 2 }]))
    await knex.schema.dropTable(table)
}))

row('timeout_then_going_on', (number) => withKnex({}, async (knex) => {
    await assert.rejects(knex.raw('SELECT pg_sleep(1)').timeout(100), /[Tt]imeout/)
    // Hands the PID that it was told at login to pg_cancel_backend().
    await assert.rejects(knex.raw('SELECT pg_sleep(60)').timeout(100, { cancel: true }), /[Tt]imeout/)
    await times(5, async () => {
        assert.strictEqual((await knex.raw('SELECT ?::int AS n', [number])).rows[0].n, number)
    })
}))

row('temporary_table_and_lock_in_one_connection', (number) => withKnex({ pool: { min: 1, max: 1 } }, async (knex) => {
    await knex.raw('SELECT pg_advisory_lock(?)', [2000 + number])
    await knex.schema.raw('CREATE TEMPORARY TABLE basket (n int)')
    await times(10, (i) => knex('basket').insert({ n: i }))
    assert.strictEqual((await knex('basket')).length, 10)
    assert.strictEqual((await knex.raw('SELECT pg_advisory_unlock(?) AS was', [2000 + number])).rows[0].was, true)
}))

run()
