// Rows of a stack in node: row(name, work) says one, run() runs those named on the command line (else all), each in two
// clients (or CLIENTS) at once, and prints a line for each.
'use strict'

const rows = new Map()

function row(name, work) {
    rows.set(name, work)
}

async function run(atEnd = async () => {}) {
    const wanted = process.argv.length > 2 ? process.argv.slice(2) : [...rows.keys()]
    for (const name of wanted) {
        try {
            const numbers = Array.from({ length: Number(process.env.CLIENTS || 2) }, (_, i) => i + 1)
            await Promise.all(numbers.map((number) => rows.get(name)(number)))
            console.log(`ok ${name}`)
        } catch (error) {
            console.log(`not ok ${name}: ${error.stack}`)
            process.exitCode = 1
        }
    }
    await atEnd()
    process.exit()
}

// An event that must come: resolves with what `arm` hands to its callback.
function once(arm, what, ms = 10000) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), ms)
        arm((value) => {
            clearTimeout(timer)
            resolve(value)
        })
    })
}

// Steps one behind the other.
async function times(count, step) {
    for (let i = 0; i < count; i++) await step(i)
}

const env = process.env
const address = { host: env.PGHOST, port: Number(env.PGPORT), user: env.PGUSER, database: env.PGDATABASE }
const url = `postgresql://${env.PGUSER}@${env.PGHOST}:${env.PGPORT}/${env.PGDATABASE}`

module.exports = { row, run, once, times, address, url }
