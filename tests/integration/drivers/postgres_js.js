// postgres.js: prepares each statement, pipelines, listens on a connection of its own.
'use strict'

const assert = require('assert')
const postgres = require('postgres')
const { row, run, once, times, address } = require('./rows')

async function withSql(options, work) {
    const ssl = process.env.PGSSLMODE === 'verify-full' && {}           // NODE_EXTRA_CA_CERTS says whom to trust
    const sql = postgres({ ...address, username: address.user, ssl, onnotice: () => {}, ...options })
    try {
        return await work(sql)
    } finally {
        await sql.end({ timeout: 5 })
    }
}

row('startup_settings', (number) => withSql({
    connection: { application_name: `shop ${number}`, search_path: `tenant_${number}`, statement_timeout: 7000 }
}, (sql) => times(20, async () => {
    const [found] = await sql`SELECT name, current_setting('statement_timeout') AS t,
        current_setting('application_name') AS a FROM place`
    assert.deepStrictEqual({ ...found }, { name: `tenant_${number}`, t: '7s', a: `shop ${number}` })
})))

row('pool_of_ten_with_parameters', (number) => withSql({}, (sql) => Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
        const [found] = await sql`SELECT ${i}::int + ${number} AS n, ${[1, 2, i]}::int[] AS a, ${sql.json({ i })} AS j`
        assert.deepStrictEqual({ ...found }, { n: i + number, a: [1, 2, i], j: { i } })
    }))))

row('begin_and_savepoint', (number) => withSql({}, async (sql) => {
    const table = sql(`pgjs_tx_${number}`)
    await sql`DROP TABLE IF EXISTS ${table}`
    await sql`CREATE TABLE ${table} (id int PRIMARY KEY, v text)`
    await sql.begin(async (tx) => {
        await tx`INSERT INTO ${table} ${tx({ id: 1, v: 'a' })}`
        await assert.rejects(tx.savepoint((sp) => sp`INSERT INTO ${table} VALUES (1, 'twice')`), { code: '23505' })
        await tx`INSERT INTO ${table} VALUES (2, 'b')`
    })
    await assert.rejects(sql.begin(async (tx) => {
        await tx`DELETE FROM ${table}`
        throw new Error('no')
    }), /no/)
    assert.strictEqual((await sql`SELECT * FROM ${table}`).length, 2)
    await sql`DROP TABLE ${table}`
}))

row('reserved_connection_with_settings', (number) => withSql({}, async (sql) => {
    const reserved = await sql.reserve()
    await reserved.unsafe(`SET search_path = tenant_${number}; SET timezone = 'Asia/Tokyo'`)
    await times(20, async () => {
        const [found] = await reserved`SELECT name, current_setting('timezone') AS tz FROM place`
        assert.deepStrictEqual({ ...found }, { name: `tenant_${number}`, tz: 'Asia/Tokyo' })
    })
    reserved.release()
}))

row('set_config_for_row_security', (number) => withSql({ max: 1 }, async (sql) => {
    await sql`SELECT set_config('app.user_id', ${String(number)}, false)`
    await times(20, async () => assert.strictEqual((await sql`SELECT title FROM document`).length, number))
    await sql.begin(async (tx) => {
        await tx`SELECT set_config('app.user_id', ${String(3 - number)}, true)`
        assert.strictEqual((await tx`SELECT title FROM document`).length, 3 - number)
    })
    assert.strictEqual((await sql`SELECT title FROM document`).length, number)
}))

row('listen', (number) => withSql({}, async (sql) => {
    const channel = `pgjs_${number}`
    const got = []
    await once(async (done) => {
        await sql.listen(channel, (payload) => {
            got.push(payload)
            if (got.length === 5) done()
        })
        await times(5, (i) => sql.notify(channel, `hello ${i}`))
    }, 'five notifications')
    assert.deepStrictEqual(got, [0, 1, 2, 3, 4].map((i) => `hello ${i}`))
}))

row('advisory_lock', (number) => withSql({ max: 1 }, async (sql) => {
    await sql`SELECT pg_advisory_lock(815)`
    await times(5, () => sql`SELECT pg_sleep(0.002)`)
    await withSql({ max: 1 }, async (other) => {
        assert.strictEqual((await other`SELECT pg_try_advisory_lock(815) AS got`)[0].got, false)
    })
    assert.strictEqual((await sql`SELECT pg_advisory_unlock(815) AS was`)[0].was, true)
}))

row('temporary_table', (number) => withSql({ max: 1 }, async (sql) => {
    await sql`CREATE TEMP TABLE basket (n int)`
    await times(15, (i) => sql`INSERT INTO basket VALUES (${i * number})`)
    assert.strictEqual((await sql`SELECT sum(n)::int AS s FROM basket`)[0].s, 105 * number)
}))

row('cursor', (number) => withSql({}, async (sql) => {
    let sum = 0
    await sql`SELECT i FROM generate_series(1, 1000) i`.cursor(100, (part) => { part.forEach((r) => { sum += r.i }) })
    const parts = sql`SELECT i FROM generate_series(1, 1000) i`.cursor(7)
    for await (const part of parts) part.forEach((r) => { sum += r.i })
    assert.strictEqual(sum, 1001000)
    assert.strictEqual((await sql`SELECT ${number}::int AS n`)[0].n, number)
}))

row('copy_both_ways', (number) => withSql({}, async (sql) => {
    const { pipeline } = require('stream/promises')
    const { Readable } = require('stream')
    const table = sql(`pgjs_copy_${number}`)
    await sql`DROP TABLE IF EXISTS ${table}`
    await sql`CREATE TABLE ${table} (id int, v text)`
    const lines = Array.from({ length: 3000 }, (_, i) => `${i}\trow ${i}\n`)
    await pipeline(Readable.from(lines), await sql`COPY ${table} FROM STDIN`.writable())
    let text = ''    // few: with more than its stream's buffer takes, it may leave its own socket paused
    const few = sql`COPY (SELECT * FROM ${table} ORDER BY id LIMIT 500) TO STDOUT`
    for await (const chunk of await few.readable()) text += chunk
    assert.strictEqual(text, lines.slice(0, 500).join(''))
    await sql`DROP TABLE ${table}`
}))

row('table_altered_between_queries', (number) => withSql({ max: 1 }, async (sql) => {
    const table = sql(`pgjs_ddl_${number}`)
    await sql`DROP TABLE IF EXISTS ${table}`
    await sql`CREATE TABLE ${table} (a int)`
    await sql`INSERT INTO ${table} VALUES (1)`
    await times(5, async () => assert.deepStrictEqual({ ...(await sql`SELECT * FROM ${table}`)[0] }, { a: 1 }))
    await sql`ALTER TABLE ${table} ADD COLUMN b int DEFAULT 2`
    await times(5, async () => assert.deepStrictEqual({ ...(await sql`SELECT * FROM ${table}`)[0] }, { a: 1, b: 2 }))
    await sql`DROP TABLE ${table}`
}))

row('prepare_and_execute_by_sql', (number) => withSql({ max: 1 }, async (sql) => {
    await sql.unsafe(`PREPARE triple (int) AS SELECT $1 * ${number} AS n`)
    await times(15, async (i) => assert.strictEqual((await sql.unsafe(`EXECUTE triple (${i})`))[0].n, i * number))
}))

row('errors_then_going_on', (number) => withSql({}, (sql) => Promise.all(Array.from({ length: 40 }, async (_, i) => {
    if (i % 2) return assert.rejects(sql`SELECT 1 / ${0}::int`, { code: '22012' })
    if (i % 5 === 0) await assert.rejects(sql`SELECT * FROM pgjs_nowhere`, { code: '42P01' })
    assert.strictEqual((await sql`SELECT ${i}::int AS n`)[0].n, i)
}))))

row('types_it_must_look_up', (number) => withSql({ max: 1 }, async (sql) => {
    await times(5, async () => {
        const [found] = await sql`SELECT ${'good'}::mood AS m, ${['good', 'bad']}::mood[] AS a,
            ${'1.50'}::numeric AS n`
        assert.deepStrictEqual([found.m, found.n], ['good', '1.50'])
        assert.deepStrictEqual(found.a, ['good', 'bad'])
    })
}))

row('cancel', (number) => withSql({ max: 1 }, async (sql) => {
    const slow = sql`SELECT pg_sleep(20)`
    const refused = assert.rejects(slow, { code: '57014' })
    await withSql({ max: 1 }, async (other) => {
        for (let seen = 0; !seen;) {
            [{ seen }] = await other`SELECT count(*)::int AS seen FROM pg_stat_activity
                WHERE query LIKE 'SELECT pg_sleep(20)%' AND state = 'active'`
        }
    })
    slow.cancel()
    await refused
    assert.strictEqual((await sql`SELECT ${number}::int AS n`)[0].n, number)
}))

row('simple_queries_without_preparing', (number) => withSql({ prepare: false }, (sql) => Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
        assert.strictEqual((await sql`SELECT ${i}::int * ${number}::int AS n`)[0].n, i * number)
        assert.strictEqual((await sql`SELECT 1 AS a; SELECT 2 AS b`.simple()).length, 2)
    }))))

row('discard_all_with_a_query_behind_it', (number) => times(2, (prepare) => withSql({
    max: 1, prepare: prepare === 1, connection: { search_path: `tenant_${number}`, statement_timeout: 7000 }
}, (sql) => times(10, async () => {
    const [, [found]] = await Promise.all([sql`DISCARD ALL`,
        sql`SELECT name, current_setting('statement_timeout') AS t FROM place`])
    assert.deepStrictEqual({ ...found }, { name: `tenant_${number}`, t: '7s' })
}))))

run()
