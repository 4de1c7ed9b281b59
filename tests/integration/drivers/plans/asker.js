// Clients of node's drivers that do what the lines of the standard input say: see test_keep_plans_drivers.py.
'use strict'

const readline = require('readline')
const { address, url } = require('../rows')

function typed(value) {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
    const [kind, content] = Object.entries(value)[0]
    return kind === 'date' ? new Date(`${content}T00:00:00Z`) : content
}

const shown = (value) => typeof value === 'bigint' ? String(value) : Buffer.isBuffer(value) ? value.toString('hex') : value

async function nodePg(notices) {
    const { Client } = require('pg')
    const client = new Client(address)
    client.on('notice', (notice) => notices.push(notice.message))
    client.on('error', () => {})
    await client.connect()
    const ask = async (text, values, more) => {
        const found = await client.query({ text, values, rowMode: 'array', ...more })
        const last = Array.isArray(found) ? found[found.length - 1] : found
        return { columns: last.fields.map((f) => [f.name, f.dataTypeID]), rows: last.rows, tag: [last.command, last.rowCount] }
    }
    return { ask, fetch: (text, values, size) => ask(text, values, { rows: size }), close: () => client.end() }
}

async function drizzle(notices) {
    const { sql } = require('drizzle-orm')
    const { Client } = require('pg')
    const client = new Client(address)
    client.on('notice', (notice) => notices.push(notice.message))
    client.on('error', () => {})
    await client.connect()
    const db = require('drizzle-orm/node-postgres').drizzle(client)
    const ask = async (text, values) => {
        const parts = text.split(/\$(\d+)/).map((part, i) => i % 2 ? sql.param(values[part - 1]) : sql.raw(part))
        const found = await db.execute(sql.join(parts))
        return { columns: found.fields.map((f) => [f.name, f.dataTypeID]), rows: found.rows, tag: [found.command, found.rowCount] }
    }
    return { ask, fetch: ask, close: () => client.end() }
}

async function prisma() {
    const { PrismaClient } = require('@prisma/client')
    const { PrismaPg } = require('@prisma/adapter-pg')
    const client = new PrismaClient({ adapter: new PrismaPg({ ...address, max: 1, idleTimeoutMillis: 0 }), errorFormat: 'minimal' })
    const ask = async (text, values) => ({ rows: await client.$queryRawUnsafe(text, ...values) })
    return { ask, fetch: ask, close: () => client.$disconnect() }
}

function postgresJs(options) {
    return async (notices) => {
        const sql = require('postgres')(url, { max: 1, onnotice: (notice) => notices.push(notice.message), ...options })
        const told = (found) => ({ columns: found.columns?.map((c) => [c.name, c.type]), rows: [...found], tag: [found.command, found.count] })
        const ask = async (text, values) => told(await sql.unsafe(text, values, { prepare: options.prepare }))
        const fetch = async (text, values, size) => {
            const rows = []
            for await (const some of sql.unsafe(text, values).cursor(size)) rows.push(some)
            return { rows }
        }
        return { ask, fetch, close: () => sql.end({ timeout: 1 }) }
    }
}

const open = { node_pg: nodePg, drizzle, prisma, postgres_js: postgresJs({}), postgres_js_named: postgresJs({ prepare: true }) }[process.argv[2]]
const clients = new Map()

async function answer(client, notices, work) {
    let said
    try {
        said = await work(client)
    } catch (error) {
        const cause = error.cause?.code ? error.cause : error
        said = { error: [cause.meta?.code ?? cause.code, cause.meta?.message ?? cause.message] }
    }
    return { ...said, notices: notices.splice(0) }
}

async function main() {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const { to, sql, values, size, many } = JSON.parse(line)
        if (!clients.has(to)) {
            const notices = []
            clients.set(to, [await open(notices), notices])
        }
        const [client, notices] = clients.get(to)
        const ask = ([text, list]) => answer(client, notices, () => client.ask(text, list.map(typed)))
        const said = many ? { all: await Promise.all(many.map(ask)) }
            : size ? await answer(client, notices, () => client.fetch(sql, values.map(typed), size)) : await ask([sql, values])
        console.log(JSON.stringify(said, (_, value) => shown(value)))
    }
    for (const [client] of clients.values()) await client.close()
    process.exit()
}

main()
