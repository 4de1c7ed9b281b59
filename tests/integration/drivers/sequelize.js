// Sequelize: its pool, managed transactions, migrations' kind of schema changes. It sends SET at each connect.
'use strict'

const assert = require('assert')
const { Sequelize, DataTypes, QueryTypes } = require('sequelize')
const { row, run, times, url } = require('./rows')

async function withSequelize(options, work) {
    const sequelize = new Sequelize(url, { logging: false, pool: { max: 8 }, ...options })
    try {
        return await work(sequelize)
    } finally {
        await sequelize.close()
    }
}

const select = (sequelize, text, replacements) => sequelize.query(text, { type: QueryTypes.SELECT, replacements })

async function withItems(number, letter, work) {
    await withSequelize({}, async (sequelize) => {
        const Item = sequelize.define('Item', {
            name: { type: DataTypes.STRING, unique: true }, kind: DataTypes.ENUM('a', 'b'), tags: DataTypes.JSONB,
            list: DataTypes.ARRAY(DataTypes.INTEGER), at: DataTypes.DATE
        }, { tableName: `sequelize_${letter}${number}`, timestamps: false })
        await Item.sync({ force: true })
        await work(sequelize, Item)
        await Item.drop({})
        await sequelize.query(`DROP TYPE IF EXISTS "enum_sequelize_${letter}${number}_kind"`)
    })
}

row('crud_with_types', (number) => withItems(number, 'a', async (sequelize, Item) => {
    const at = new Date('2026-01-02T03:04:05Z')
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const made = await Item.create({ name: `item ${i}`, kind: 'a', tags: { i }, list: [i, 2], at })
        const found = await Item.findByPk(made.id)
        assert.deepStrictEqual([found.tags, found.list, found.kind, found.at], [{ i }, [i, 2], 'a', at])
        await found.update({ kind: 'b' })
    }))
    assert.strictEqual(await Item.count({ where: { kind: 'b' } }), 20)
    const [, created] = await Item.findOrCreate({ where: { name: 'item 1' } })
    assert.strictEqual(created, false)
}))

row('managed_transactions_and_savepoints', (number) => withItems(number, 'b', async (sequelize, Item) => {
    await sequelize.transaction(async (transaction) => {
        await Item.create({ name: 'outer' }, { transaction })
        await assert.rejects(sequelize.transaction({ transaction }, async (inner) => {
            await Item.create({ name: 'inner' }, { transaction: inner })
            throw new Error('no')
        }), /no/)
        await Item.create({ name: 'after' }, { transaction })
    })
    await assert.rejects(sequelize.transaction({ isolationLevel: 'SERIALIZABLE' }, async (transaction) => {
        await Item.destroy({ where: {}, transaction })
        throw new Error('no')
    }), /no/)
    assert.deepStrictEqual((await Item.findAll({ order: ['id'] })).map((i) => i.name), ['outer', 'after'])
}))

row('timezone_and_encoding_of_its_connect', (number) => withSequelize({ timezone: '+09:00' }, (sequelize) =>
    Promise.all(Array.from({ length: 30 }, async () => {
        const [found] = await select(sequelize, "SELECT to_char('2026-01-01 00:00Z'::timestamptz, 'HH24') AS hour")
        assert.strictEqual(found.hour, '09')
    }))))

row('search_path_by_options', (number) => withSequelize({
    dialectOptions: { options: `-c search_path=tenant_${number}`, application_name: 'shop', statement_timeout: 9000 }
}, (sequelize) => Promise.all(Array.from({ length: 30 }, async () => {
    const [found] = await select(sequelize, "SELECT name, current_setting('statement_timeout') AS t FROM place")
    assert.deepStrictEqual(found, { name: `tenant_${number}`, t: '9s' })
}))))

row('after_connect_hook_sets_the_user', (number) => withSequelize({
    hooks: { afterConnect: (connection) => connection.query(`SET app.user_id = '${number}'`) }
}, (sequelize) => Promise.all(Array.from({ length: 30 }, async () => {
    assert.strictEqual((await select(sequelize, 'SELECT title FROM document')).length, number)
}))))

row('query_interface_alters_a_table', (number) => withItems(number, 'c', async (sequelize, Item) => {
    await Item.create({ name: 'first' })
    const table = Item.getTableName(), all = () => select(sequelize, `SELECT * FROM ${table}`)
    await times(6, async () => assert.strictEqual(Object.keys((await all())[0]).length, 6))
    await sequelize.getQueryInterface().addColumn(table, 'extra', { type: DataTypes.INTEGER, defaultValue: 5 })
    await times(6, async () => assert.strictEqual((await all())[0].extra, 5))
}))

row('bulk_and_bind_parameters', (number) => withItems(number, 'd', async (sequelize, Item) => {
    await Item.bulkCreate(Array.from({ length: 500 }, (_, i) => ({ name: `bulk ${i}`, list: [i] })))
    await times(10, async (i) => {
        const found = await sequelize.query(`SELECT name FROM ${Item.getTableName()} WHERE list = $1::int[]`,
            { bind: [[i]], type: QueryTypes.SELECT })
        assert.deepStrictEqual(found, [{ name: `bulk ${i}` }])
    })
}))

run()
