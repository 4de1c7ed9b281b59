// What test_tls_drivers.py asks of each driver: see there.
'use strict'

const assert = require('assert')
const fs = require('fs')
const postgres = require('postgres')

const env = { ...process.env }
for (const name of Object.keys(env)) if (name.startsWith('PG')) delete process.env[name]

async function main() {
    const sql = postgres({
        host: env.PGHOST, port: Number(env.PGPORT), username: env.PGUSER, password: env.PGPASSWORD,
        database: env.PGDATABASE,
        ssl: {
            ca: fs.readFileSync(env.PGSSLROOTCERT, 'utf8'),
            ...(env.PGSSLCERT ? { cert: fs.readFileSync(env.PGSSLCERT), key: fs.readFileSync(env.PGSSLKEY) } : {})
        }
    })
    try {
        await sql`SELECT 1`
    } catch (error) {
        console.log(`refused: ${error.message}`)
        process.exit(3)
    }
    assert.strictEqual((await sql`SELECT 42 AS n`)[0].n, 42)
    console.log('ok query')
    await Promise.all(Array.from({ length: 50 }, async (_, i) =>
        assert.strictEqual((await sql`SELECT ${i}::int * 2 AS n`)[0].n, 2 * i)))
    console.log('ok prepared')
    assert.strictEqual((await sql`SELECT repeat('x', 8000000) AS x`)[0].x.length, 8000000)
    assert.strictEqual((await sql`SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i`).length, 20000)
    console.log('ok large')
    const sleeping = sql`SELECT pg_sleep(30)`.execute()
    setTimeout(() => sleeping.cancel(), 300)
    await assert.rejects(sleeping, { code: '57014' })
    console.log('ok cancel')
    await sql.end({ timeout: 5 })
    process.exit()
}

main().catch((error) => {
    console.log(`not ok: ${error.stack}`)
    process.exit(1)
})
