// TypeORM: repositories, query runners, migrations, streams.
'use strict'

const assert = require('assert')
const { DataSource, EntitySchema } = require('typeorm')
const { row, run, times, url } = require('./rows')

const entity = (name) => new EntitySchema({
    name, tableName: name, columns: {
        id: { type: Number, primary: true, generated: true }, name: { type: String, unique: true },
        tags: { type: 'jsonb', nullable: true }, list: { type: 'int', array: true, nullable: true }
    }
})

async function withSource(options, work) {
    const source = new DataSource({ type: 'postgres', url, logging: false, ...options })
    await source.initialize()
    try {
        return await work(source)
    } finally {
        await source.destroy()
    }
}

const withItems = (name, work) => withSource({ entities: [entity(name)], synchronize: true }, async (source) => {
    const items = source.getRepository(name)
    await items.clear()
    await work(items, source)
    await source.query(`DROP TABLE "${name}"`)
})

row('repositories', (number) => withItems(`typeorm_a${number}`, async (items) => {
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const made = await items.save({ name: `item ${i}`, tags: { i }, list: [1, i] })
        assert.deepStrictEqual(await items.findOneBy({ id: made.id }), { ...made })
        await items.update(made.id, { name: `new ${i}` })
    }))
    assert.strictEqual(await items.createQueryBuilder('i').where('i.name LIKE :n', { n: 'new %' }).getCount(), 20)
}))

row('transactions_and_query_runner', (number) => withItems(`typeorm_b${number}`, async (items, source) => {
    const name = items.metadata.name
    await source.transaction(async (manager) => {
        await manager.save(name, { name: 'outer' })
        await assert.rejects(manager.transaction(async (inner) => {
            await inner.save(name, { name: 'inner' })
            throw new Error('no')
        }), /no/)
    })
    const runner = source.createQueryRunner()
    await runner.connect()
    await runner.startTransaction('SERIALIZABLE')
    await runner.manager.save(name, { name: 'rolled back' })
    await runner.rollbackTransaction()
    await runner.query(`SET search_path TO tenant_${number}, public`)
    await times(15, async () => {
        assert.deepStrictEqual(await runner.query('SELECT name FROM place'), [{ name: `tenant_${number}` }])
    })
    await runner.query('RESET search_path')
    await runner.release()
    assert.deepStrictEqual((await items.find()).map((i) => i.name), ['outer'])
}))

row('migrations_up_and_down', async (number) => {
    class Create1700000000001 {
        name = 'Create1700000000001'
        up(runner) { return runner.query(`CREATE TABLE typeorm_m${number} (a int)`) }
        down(runner) { return runner.query(`DROP TABLE typeorm_m${number}`) }
    }
    class Widen1700000000002 {
        name = 'Widen1700000000002'
        up(runner) { return runner.query(`ALTER TABLE typeorm_m${number} ADD COLUMN b int DEFAULT 2`) }
        down(runner) { return runner.query(`ALTER TABLE typeorm_m${number} DROP COLUMN b`) }
    }
    await withSource({
        migrations: [Create1700000000001, Widen1700000000002], migrationsTableName: `typeorm_migrations_${number}`
    }, async (source) => {
        for (let i = 0; i < 2; i++) {
            assert.strictEqual((await source.runMigrations()).length, 2)
            await source.query(`INSERT INTO typeorm_m${number} VALUES (1)`)
            assert.deepStrictEqual(await source.query(`SELECT * FROM typeorm_m${number}`), [{ a: 1, b: 2 }])
            await source.undoLastMigration()
            await source.undoLastMigration()
        }
        await source.query(`DROP TABLE typeorm_migrations_${number}`)
    })
})

row('startup_settings', (number) => withSource({
    applicationName: `shop ${number}`, extra: { options: `-c search_path=tenant_${number}`, statement_timeout: 8000 }
}, (source) => Promise.all(Array.from({ length: 30 }, async () => {
    assert.deepStrictEqual(await source.query(`SELECT name, current_setting('statement_timeout') AS t,
        current_setting('application_name') AS a FROM place`),
    [{ name: `tenant_${number}`, t: '8s', a: `shop ${number}` }])
}))))

row('set_config_for_row_security', (number) => withSource({ extra: { max: 1 } }, async (source) => {
    await source.query("SELECT set_config('app.user_id', $1, false)", [String(number)])
    await times(20, async () => assert.strictEqual((await source.query('SELECT * FROM document')).length, number))
}))

row('pessimistic_locks', (number) => withItems(`typeorm_c${number}`, async (items, source) => {
    await items.save({ name: 'counter', list: [0] })
    await Promise.all(Array.from({ length: 12 }, () => source.transaction(async (manager) => {
        const found = await manager.findOne(items.metadata.name, {
            where: { name: 'counter' }, lock: { mode: 'pessimistic_write' }
        })
        found.list = [found.list[0] + 1]
        await manager.save(items.metadata.name, found)
    })))
    assert.deepStrictEqual((await items.findOneBy({ name: 'counter' })).list, [12])
}))

run()
