// What test_tls_drivers.py asks of each driver: see there. Prisma has no cancel.
'use strict'

const assert = require('assert')
const { PrismaClient } = require('@prisma/client')
const { PrismaPg } = require('@prisma/adapter-pg')

const env = { ...process.env }
for (const name of Object.keys(env)) if (name.startsWith('PG')) delete process.env[name]

async function main() {
    const more = env.PGSSLCERT ? `&sslcert=${env.PGSSLCERT}&sslkey=${env.PGSSLKEY}` : ''
    const adapter = new PrismaPg({
        connectionString: `postgresql://${env.PGUSER}:${env.PGPASSWORD}@${env.PGHOST}:${env.PGPORT}/${env.PGDATABASE}` +
            `?sslmode=verify-full&sslrootcert=${env.PGSSLROOTCERT}${more}`
    })
    const prisma = new PrismaClient({ adapter, errorFormat: 'minimal' })
    try {
        await prisma.$queryRaw`SELECT 1`
    } catch (error) {
        console.log(`refused: ${error.message}`)
        process.exit(3)
    }
    assert.strictEqual((await prisma.$queryRaw`SELECT 42 AS n`)[0].n, 42)
    console.log('ok query')
    for (let i = 0; i < 20; i++) {
        assert.strictEqual((await prisma.$queryRaw`SELECT ${i}::int * 2 AS n`)[0].n, 2 * i)
    }
    console.log('ok prepared')
    assert.strictEqual((await prisma.$queryRaw`SELECT repeat('x', 8000000) AS x`)[0].x.length, 8000000)
    console.log('ok large')
    await prisma.$disconnect()
    process.exit()
}

main().catch((error) => {
    console.log(`not ok: ${error.stack}`)
    process.exit(1)
})
