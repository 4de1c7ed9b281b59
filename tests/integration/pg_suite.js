// node-postgres with its defaults. Run by test_node_pg.py: node pg_suite.js CASE; PGHOST and friends say where.
'use strict'

const assert = require('assert')
const { Client, Pool } = require('pg')

async function withPool(options, work) {
    const pool = new Pool(options)
    try {
        return await work(pool)
    } finally {
        await pool.end()
    }
}

async function withClient(options, work) {
    const client = new Client(options)
    await client.connect()
    try {
        return await work(client)
    } finally {
        await client.end()
    }
}

function times(count, make) {
    return Promise.all(Array.from({ length: count }, (_, i) => make(i)))
}

const cases = {
    async simpleAndParameters() {
        await withClient({}, async (client) => {
            assert.strictEqual((await client.query('SELECT 1 AS one')).rows[0].one, 1)
            const { rows } = await client.query(
                'SELECT $1::int + 1 AS n, $2::text AS t, $3::text[] AS a, $4::jsonb AS j',
                [41, 'Grüße', ['x', null], { k: [1] }])
            assert.deepStrictEqual(rows[0], { n: 42, t: 'Grüße', a: ['x', null], j: { k: [1] } })
            const both = await client.query('SELECT 1 AS a; SELECT 2 AS b')
            assert.deepStrictEqual(both.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }])
        })
    },

    async poolOfTwenty() {
        await withPool({ max: 20 }, (pool) => times(200, async (i) => {
            const { rows } = await pool.query('SELECT $1::int AS i', [i])
            assert.strictEqual(rows[0].i, i)
        }))
    },

    async namedStatements() {
        await withPool({ max: 10 }, (pool) => times(150, async (i) => {
            const kind = i % 5
            const { rows } = await pool.query({
                name: `kind-${kind}`, text: `SELECT $1::int * ${kind} AS n`, values: [i]
            })
            assert.strictEqual(rows[0].n, i * kind)
        }))
    },

    async sameNameInDifferentClients() {
        const one = new Client(), two = new Client()
        await Promise.all([one.connect(), two.connect()])
        for (let i = 0; i < 10; i++) {
            const a = await one.query({ name: 's', text: "SELECT 'one' AS who, $1::int AS i", values: [i] })
            const b = await two.query({ name: 's', text: "SELECT 'two' AS who, $1::int AS i", values: [i] })
            assert.deepStrictEqual([a.rows[0], b.rows[0]], [{ who: 'one', i }, { who: 'two', i }])
        }
        await Promise.all([one.end(), two.end()])
    },

    // Altered straight on PostgreSQL and through pgweir in turn, while clients run a named statement.
    async changedTable() {
        const direct = new Client({ host: process.env.DIRECT_HOST, port: process.env.DIRECT_PORT, user: 'postgres' })
        await direct.connect()
        await direct.query('DROP TABLE IF EXISTS node_changed')
        await direct.query('CREATE TABLE node_changed (id int, v text); ALTER TABLE node_changed OWNER TO web')
        await direct.query("INSERT INTO node_changed VALUES (1, 'x')")
        await withPool({ max: 8 }, async (pool) => {
            let done = 0, most = 2, over = false
            const clients = times(8, async () => {
                while (!over) {
                    const { rows } = await pool.query({
                        name: 'all', text: 'SELECT * FROM node_changed WHERE id = $1', values: [1]
                    })
                    const count = Object.keys(rows[0]).length
                    assert.ok(count >= 2 && count <= most, `${count} columns`)
                    assert.strictEqual(rows[0].v, 'x')
                    done++
                }
            })
            try {
                for (let turn = 0; turn < 10; turn++) {
                    const by = turn % 2 === 0 ? direct : pool
                    most++
                    await by.query(`ALTER TABLE node_changed ADD COLUMN w${turn} int DEFAULT 7`)
                    for (const before = done; done < before + 40;)
                        await Promise.race([clients, new Promise((resolve) => setImmediate(resolve))])
                }
            } finally {
                over = true
                await clients
            }
        })
        await direct.query('DROP TABLE node_changed')
        await direct.end()
    },

    async transactions() {
        await withPool({ max: 10 }, async (pool) => {
            await pool.query('DROP TABLE IF EXISTS node_counter')
            await pool.query('CREATE TABLE node_counter (n int)')
            await pool.query('INSERT INTO node_counter VALUES (0)')
            await times(60, async (i) => {
                const client = await pool.connect()
                try {
                    await client.query('BEGIN')
                    await client.query('UPDATE node_counter SET n = n + 1')
                    await client.query(i % 3 === 0 ? 'ROLLBACK' : 'COMMIT')
                } finally {
                    client.release()
                }
            })
            assert.strictEqual((await pool.query('SELECT n FROM node_counter')).rows[0].n, 40)
            await pool.query('DROP TABLE node_counter')
        })
    },

    async errors() {
        await withPool({ max: 5 }, (pool) => times(60, async (i) => {
            if (i % 2) {
                await assert.rejects(pool.query('SELECT 1/$1::int', [0]), { code: '22012' })
                await assert.rejects(pool.query('SELECT * FROM node_nowhere'), { code: '42P01' })
                await assert.rejects(pool.query({ name: `bad${i}`, text: 'SELEC' }), { code: '42601' })
            } else {
                assert.strictEqual((await pool.query('SELECT $1::int AS i', [i])).rows[0].i, i)
            }
        }))
    },

    async queuedQueries() {
        await withClient({}, async (client) => {
            const answers = await times(300, (i) => client.query('SELECT $1::int AS i', [i]))
            answers.forEach((answer, i) => assert.strictEqual(answer.rows[0].i, i))
        })
    },

    async endBehindQueries() {
        const name = `ended_${process.pid}`
        await withClient({}, async (client) => {
            await client.query(`CREATE TABLE ${name} (i int)`)
            const leaving = new Client({ pipeline: true })
            await leaving.connect()
            leaving.on('error', () => {})                   // the end of the connection, for the client did not ask for it
            const answers = times(20, (i) => leaving.query(`INSERT INTO ${name} VALUES ($1)`, [i]))
            leaving.connection.end()                        // a Terminate behind all of them, in one write or two
            await answers
            const { rows } = await client.query(`SELECT count(*)::int AS count FROM ${name}`)
            await client.query(`DROP TABLE ${name}`)
            assert.strictEqual(rows[0].count, 20)
        })
    },

    async connectionsThatComeAndGo() {
        await times(30, (i) => withClient({ application_name: `app ${i}` }, async (client) => {
            const { rows } = await client.query('SELECT current_setting($1) AS name', ['application_name'])
            assert.strictEqual(rows[0].name, `app ${i}`)
        }))
    },

    async startupSettings() {
        await withClient({ statement_timeout: 4321, lock_timeout: 1234, options: '-c search_path=pg_catalog' },
            async (client) => {
                const { rows } = await client.query(
                    "SELECT current_setting('statement_timeout') s, current_setting('lock_timeout') l, " +
                    "current_setting('search_path') p")
                assert.deepStrictEqual(rows[0], { s: '4321ms', l: '1234ms', p: 'pg_catalog' })
            })
    },

    async notifications() {
        await withClient({}, async (listener) => withClient({}, async (other) => {
            const heard = []
            let wake = () => {}
            listener.on('notification', (message) => {
                heard.push([message.channel, message.payload])
                wake()
            })
            const hear = async (count) => {
                while (heard.length < count) await new Promise((resolve) => { wake = resolve })
            }
            await listener.query('LISTEN news')
            await listener.query({ name: 'more', text: 'LISTEN "More News"' })
            for (let i = 0; i < 5; i++) await other.query("SELECT pg_notify('news', $1)", [String(i)])
            await other.query('NOTIFY "More News", \'x\'')
            await hear(6)
            assert.deepStrictEqual(heard, [['news', '0'], ['news', '1'], ['news', '2'], ['news', '3'], ['news', '4'],
                ['More News', 'x']])
            await listener.query('UNLISTEN news; SELECT 1')
            await other.query("NOTIFY news, 'not heard'")
            await other.query("NOTIFY \"More News\", 'last'")
            await hear(7)
            assert.deepStrictEqual(heard[6], ['More News', 'last'])
        }))
    },

    async largeValues() {
        await withClient({}, async (client) => {
            const text = 'x'.repeat(5000000)
            const { rows } = await client.query('SELECT $1::text AS t, $2::bytea AS b',
                [text, Buffer.alloc(1000000, 255)])
            assert.strictEqual(rows[0].t, text)
            assert.strictEqual(rows[0].b.length, 1000000)
        })
    },

    async password() {
        await withClient({ user: 'web', password: 'web-secret' }, async (client) => {
            assert.strictEqual((await client.query('SELECT current_user AS u')).rows[0].u, 'web')
        })
        const bad = new Client({ user: 'web', password: 'wrong' })
        await assert.rejects(bad.connect(), { code: '28P01' })
    }
}

cases[process.argv[2]]().then(() => console.log('ok'), (error) => {
    console.error(error)
    process.exit(1)
})
