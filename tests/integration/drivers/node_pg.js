// node-postgres: clients and its pool, as they come.
'use strict'

const assert = require('assert')
const { Client, Pool } = require('pg')
const { row, run, once, times } = require('./rows')

async function withClient(options, work) {
    const client = new Client(options)
    await client.connect()
    try {
        return await work(client)
    } finally {
        await client.end()
    }
}

const one = async (client, text, values) => Object.values((await client.query(text, values)).rows[0])[0]

row('startup_settings', (number) => withClient({
    application_name: `shop ${number}`, statement_timeout: 7000 + number, lock_timeout: 800,
    idle_in_transaction_session_timeout: 60000, options: `-c search_path=tenant_${number} -c timezone=Asia/Tokyo`
}, (client) => times(20, async () => {
    assert.strictEqual(await one(client, 'SELECT name FROM place'), `tenant_${number}`)
    assert.strictEqual(await one(client, 'SHOW statement_timeout'), `${7000 + number}ms`)
    assert.strictEqual(await one(client, 'SHOW lock_timeout'), '800ms')
    assert.strictEqual(await one(client, 'SHOW timezone'), 'Asia/Tokyo')
    assert.strictEqual(await one(client, 'SHOW application_name'), `shop ${number}`)
})))

row('pins_nothing', (number) => withClient({}, (client) => times(8, async (turn) => {
    await client.query('BEGIN')
    const made = await client.query({ name: `insert_${number}`, text: "INSERT INTO audited (owner, v) VALUES ($1, 'node') RETURNING v",
                                      values: [number] })
    assert.strictEqual(made.rows[0].v, 'node')
    await client.query('SAVEPOINT s')
    await assert.rejects(client.query("SELECT 1 / 0 FROM audited WHERE owner = $1", [number]), { code: '22012' })
    await client.query('ROLLBACK TO s')
    assert.strictEqual(await one(client, "SELECT count(*)::int FROM audited WHERE owner = $1 AND v = 'node'", [number]), 1)
    await client.query('ROLLBACK')
    assert.strictEqual(await one(client, { name: `count_${turn}`, text: "SELECT count(*)::int FROM audited WHERE v = 'node' AND owner = $1",
                                           values: [number] }), 0)
})))

row('set_and_reset', (number) => withClient({}, async (client) => {
    await client.query(`SET search_path TO tenant_${number}, public`)
    await client.query("SET TIME ZONE 'Europe/Berlin'; SET statement_timeout = '9s'")
    await times(20, async () => {
        assert.strictEqual(await one(client, 'SELECT name FROM place'), `tenant_${number}`)
        assert.strictEqual(await one(client, 'SHOW timezone'), 'Europe/Berlin')
        assert.strictEqual(await one(client, 'SHOW statement_timeout'), '9s')
    })
    await client.query('RESET ALL')
    await times(10, async () => {
        assert.strictEqual(await one(client, 'SELECT name FROM place'), 'public')
        assert.strictEqual(await one(client, 'SHOW timezone'), 'UTC')
    })
}))

row('set_in_a_transaction_that_rolls_back', (number) => withClient({}, async (client) => {
    await client.query('SET search_path TO tenant_1')
    await times(10, async (i) => {
        await client.query('BEGIN')
        await client.query('SET search_path TO tenant_2')
        assert.strictEqual(await one(client, 'SELECT name FROM place'), 'tenant_2')
        await client.query('ROLLBACK')
        assert.strictEqual(await one(client, 'SELECT name FROM place'), 'tenant_1')
    })
}))

row('set_config_for_row_security', (number) => withClient({}, async (client) => {
    await client.query("SELECT set_config('app.user_id', $1, false)", [String(number)])
    await times(20, async () => {
        const { rows } = await client.query('SELECT title FROM document')
        assert.strictEqual(rows.length, number)
    })
    await client.query('BEGIN')
    await client.query("SELECT set_config('app.user_id', $1, true)", [String(3 - number)])
    assert.strictEqual((await client.query('SELECT title FROM document')).rows.length, 3 - number)
    await client.query('COMMIT')
    assert.strictEqual((await client.query('SELECT title FROM document')).rows.length, number)
}))

row('role', (number) => withClient({}, async (client) => {
    if (number === 1) await client.query('SET ROLE clerk')
    await times(20, async () => {
        assert.strictEqual(await one(client, 'SELECT current_user::text'), number === 1 ? 'clerk' : 'web')
    })
}))

row('listen_and_notify', (number) => withClient({}, async (client) => {
    const channel = `node_${number}`
    const got = []
    client.on('notification', (message) => got.push(`${message.channel} ${message.payload}`))
    await client.query(`LISTEN ${channel}`)
    await withClient({}, (other) => times(5, (i) => other.query('SELECT pg_notify($1, $2)', [channel, String(i)])))
    await once((done) => {
        const look = () => got.length === 5 ? done() : setTimeout(look, 5)
        look()
    }, 'five notifications')
    assert.deepStrictEqual(got, [0, 1, 2, 3, 4].map((i) => `${channel} ${i}`))
    await client.query(`UNLISTEN ${channel}`)
}))

row('advisory_lock_of_a_migration', (number) => withClient({}, async (client) => {
    await client.query('SELECT pg_advisory_lock(4711)')
    const held = () => one(client, "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 " +
        "AND pid = pg_backend_pid() AND granted")
    await times(10, async () => assert.strictEqual(await held(), 1))
    await withClient({}, async (other) => {
        assert.strictEqual(await one(other, 'SELECT pg_try_advisory_lock(4711)'), false)
    })
    assert.strictEqual(await one(client, 'SELECT pg_advisory_unlock(4711)'), true)
}))

row('temporary_table', (number) => withClient({}, async (client) => {
    await client.query('CREATE TEMP TABLE basket (n int)')
    await times(15, (i) => client.query('INSERT INTO basket VALUES ($1)', [i * number]))
    assert.strictEqual(await one(client, 'SELECT sum(n)::int FROM basket'), 105 * number)
    await client.query('DROP TABLE basket')
    await assert.rejects(client.query('SELECT * FROM basket'), { code: '42P01' })
}))

row('held_cursor', (number) => withClient({}, async (client) => {
    await client.query(`DECLARE held CURSOR WITH HOLD FOR SELECT i FROM generate_series(1, 100) i`)
    for (let at = 1; at <= 100; at += 10) {
        const { rows } = await client.query('FETCH 10 FROM held')
        assert.deepStrictEqual(rows.map((r) => r.i), Array.from({ length: 10 }, (_, k) => at + k))
    }
    await client.query('CLOSE held')
}))

row('sql_prepare', (number) => withClient({}, async (client) => {
    await client.query(`PREPARE triple (int) AS SELECT $1 * ${number} AS n`)
    await times(20, async (i) => assert.strictEqual(await one(client, `EXECUTE triple (${i})`), i * number))
    await client.query('DEALLOCATE triple')
    await assert.rejects(client.query('EXECUTE triple (1)'), { code: '26000' })
}))

row('named_statement_deallocated_by_sql', (number) => withClient({}, async (client) => {
    const ask = (i) => client.query({ name: 'ask', text: `SELECT $1::int + ${number} AS n`, values: [i] })
    assert.strictEqual((await ask(1)).rows[0].n, 1 + number)
    await client.query('DEALLOCATE ask')
    await times(10, () => client.query('SELECT 1'))
    await assert.rejects(ask(2), { code: '26000' })
    assert.strictEqual(await one(client, 'SELECT 2'), 2)
}))

row('name_free_after_a_failed_parse', (number) => withClient({}, async (client) => {
    await times(5, async () => {
        await assert.rejects(client.query({ name: 'later', text: 'SELECT * FROM not_there_yet', values: [] }),
            { code: '42P01' })
        assert.strictEqual(await one(client, 'SELECT 1'), 1)
    })
    const { rows } = await client.query({ name: 'later', text: 'SELECT 7 AS n', values: [] })
    assert.strictEqual(rows[0].n, 7)
}))

row('table_altered_between_queries', (number) => withClient({}, async (client) => {
    await client.query(`DROP TABLE IF EXISTS node_ddl_${number}; CREATE TABLE node_ddl_${number} (a int)`)
    await client.query(`INSERT INTO node_ddl_${number} VALUES (1)`)
    const all = () => client.query({ name: 'all', text: `SELECT * FROM node_ddl_${number}`, values: [] })
    await times(8, async () => assert.deepStrictEqual((await all()).rows, [{ a: 1 }]))
    await client.query(`ALTER TABLE node_ddl_${number} ADD COLUMN b int DEFAULT 2`)
    await withClient({}, async (fresh) => {
        const { rows } = await fresh.query({ name: 'all', text: `SELECT * FROM node_ddl_${number}`, values: [] })
        assert.deepStrictEqual(rows, [{ a: 1, b: 2 }])
    })
    await client.query(`DROP TABLE node_ddl_${number}`)
}))

row('pool_with_a_hook_at_connect', async (number) => {
    const pool = new Pool({ max: 6 })
    pool.on('connect', (client) => { client.query(`SET search_path TO tenant_${number}`) })
    await Promise.all(Array.from({ length: 60 }, async () => {
        const { rows } = await pool.query('SELECT name, $1::int AS n FROM place', [number])
        assert.deepStrictEqual(rows, [{ name: `tenant_${number}`, n: number }])
    }))
    await pool.end()
})

row('transactions_and_savepoints', (number) => withClient({}, async (client) => {
    const table = `node_sp_${number}`
    await client.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id serial PRIMARY KEY, v text UNIQUE)`)
    await client.query('BEGIN')
    await client.query(`INSERT INTO ${table} (v) VALUES ($1)`, ['a'])
    await client.query('SAVEPOINT one')
    await assert.rejects(client.query(`INSERT INTO ${table} (v) VALUES ($1)`, ['a']), { code: '23505' })
    await client.query('ROLLBACK TO SAVEPOINT one')
    const inserted = await client.query(`INSERT INTO ${table} (v) VALUES ($1) RETURNING id`, ['b'])
    await client.query('COMMIT')
    assert.strictEqual(inserted.rows[0].id, 3)
    assert.strictEqual(await one(client, `SELECT count(*)::int FROM ${table}`), 2)
    await client.query(`DROP TABLE ${table}`)
}))

run()
