// What test_tls_drivers.py asks of each driver: see there.
'use strict'

const assert = require('assert')
const fs = require('fs')
const { Client } = require('pg')

const env = { ...process.env }
for (const name of Object.keys(env)) if (name.startsWith('PG')) delete process.env[name]

const options = {
    host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, password: env.PGPASSWORD, database: env.PGDATABASE,
    enableChannelBinding: env.PGCHANNELBINDING === 'require',
    ssl: {
        ca: fs.readFileSync(env.PGSSLROOTCERT, 'utf8'), rejectUnauthorized: true, servername: env.PGHOST,
        ...(env.PGSSLCERT ? { cert: fs.readFileSync(env.PGSSLCERT), key: fs.readFileSync(env.PGSSLKEY) } : {})
    }
}

async function main() {
    const client = new Client(options)
    client.on('error', () => {})
    const send = client.connection.sendSASLInitialResponseMessage
    client.connection.sendSASLInitialResponseMessage = function (mechanism, response) {
        if (mechanism === 'SCRAM-SHA-256-PLUS') console.log('bound')
        return send.call(this, mechanism, response)
    }
    try {
        await client.connect()
    } catch (error) {
        console.log(`refused: ${error.message}`)
        process.exit(3)
    }
    const one = async (query) => Object.values((await client.query(query)).rows[0])[0]
    assert(client.connection.stream.encrypted)
    assert.strictEqual(await one('SELECT 42'), 42)
    console.log('ok query')
    for (let i = 0; i < 20; i++) {
        assert.strictEqual(await one({ name: 'doubled', text: 'SELECT $1::int * 2', values: [i] }), 2 * i)
    }
    console.log('ok prepared')
    assert.strictEqual((await one("SELECT repeat('x', 8000000)")).length, 8000000)
    const { rows } = await client.query("SELECT i, repeat('y', 300) FROM generate_series(1, 20000) i")
    assert.strictEqual(rows.length, 20000)
    console.log('ok large')
    const sleeping = client.query('SELECT pg_sleep(30)')
    setTimeout(() => {
        new Client(options).cancel(client, client._activeQuery || client.activeQuery)
    }, 300)
    await assert.rejects(sleeping, { code: '57014' })
    console.log('ok cancel')
    await client.end()
    process.exit()
}

main().catch((error) => {
    console.log(`not ok: ${error.stack}`)
    process.exit(1)
})
