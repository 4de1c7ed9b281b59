// node-postgres, Drizzle and Prisma, each with READ ONLY transactions.
'use strict'

const assert = require('assert')
const { createRequire } = require('module')
const path = require('path')
const from = createRequire(path.join(__dirname, '..', 'drivers', 'rows.js'))
const { Client, Pool } = from('pg')
const { sql } = from('drizzle-orm')
const { drizzle } = from('drizzle-orm/node-postgres')
const { PrismaClient } = from('@prisma/client')
const { PrismaPg } = from('@prisma/adapter-pg')
const { row, run, times, address } = from('./rows')

const READ = 'SELECT pg_is_in_recovery() AS standby, max(n) AS n FROM seen WHERE n / 1000 = '
const OPTIONS = '-c default_transaction_read_only=on'

// The primary answers where no connection to a standby is idle.
async function onStandby(read, n) {
    for (let tries = 0; tries < 100; tries++) {
        const found = await read()
        assert.strictEqual(found.n, n)
        if (found.standby) return
    }
    assert.fail('the primary has answered a hundred times')
}

// write(n) commits n; read() gives {standby, n}. Each client of each row has numbers of its own.
async function alternate(first, write, read) {
    while (!(await read()).standby);
    await times(6, async (i) => {
        await write(first + i)
        await onStandby(read, first + i)
        await onStandby(read, first + i)
    })
    await write(first + 999)
}

async function withClient(work, options = {}) {
    const client = new Client({ ...address, ...options })
    await client.connect()
    try {
        return await work(client)
    } finally {
        await client.end()
    }
}

row('node_pg_begin_read_only', (number) => withClient((client) => alternate(1000 * number,
    (n) => client.query('INSERT INTO seen VALUES ($1)', [n]),
    async () => {
        await client.query('BEGIN READ ONLY')
        const found = (await client.query({ name: 'read', text: READ + '$1', values: [number] })).rows[0]
        await client.query('COMMIT')
        return found
    })))

row('node_pg_by_options', (number) => withClient((writer) => withClient((reader) => alternate(1000 * (10 + number),
    async (n) => {
        await writer.query('INSERT INTO seen VALUES ($1)', [n])
        const { rows } = await writer.query('SHOW pgweir.lsn')
        await reader.query(`SET pgweir.min_lsn = '${Object.values(rows[0])[0]}'`)
    },
    async () => (await reader.query(READ + '$1', [10 + number])).rows[0]), { options: OPTIONS })))

row('drizzle_access_mode', async (number) => {
    const pool = new Pool({ ...address, max: 1 })
    const db = drizzle(pool)
    await alternate(1000 * (20 + number),
        (n) => db.execute(sql`INSERT INTO seen VALUES (${n})`),
        () => db.transaction(async (tx) => (await tx.execute(sql`${sql.raw(READ)} ${20 + number}`)).rows[0], { accessMode: 'read only' }))
    await pool.end()
})

row('prisma_by_options', async (number) => {
    const prisma = [{}, { options: OPTIONS }].map((options) => new PrismaClient({ adapter: new PrismaPg({ ...address, ...options, max: 1 }) }))
    const [writer, reader] = prisma
    await alternate(1000 * (30 + number),
        async (n) => {
            await writer.$executeRaw`INSERT INTO seen VALUES (${n})`
            const rows = await writer.$queryRawUnsafe('SHOW pgweir.lsn')
            await reader.$executeRawUnsafe(`SET pgweir.min_lsn = '${Object.values(rows[0])[0]}'`)
        },
        async () => (await reader.$queryRawUnsafe(READ + (30 + number)))[0])
    await Promise.all(prisma.map((one) => one.$disconnect()))
})

run()
