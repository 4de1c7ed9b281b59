// Clients of Go's drivers that do what the lines of the standard input say: see test_keep_plans_drivers.py.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/lib/pq"
)

type asked struct {
	To     string              `json:"to"`
	SQL    string              `json:"sql"`
	Values []interface{}       `json:"values"`
	Size   int                 `json:"size"`
	Many   [][]json.RawMessage `json:"many"`
}

type said struct {
	Columns [][]interface{} `json:"columns"`
	Rows    [][]interface{} `json:"rows"`
	Tag     string          `json:"tag"`
	Error   []string        `json:"error"`
	Notices []string        `json:"notices"`
	All     []said          `json:"all,omitempty"`
}

type one struct {
	sql    string
	values []interface{}
}

type client interface {
	ask(one) (said, error)
	many([]one) []said
	notices() *[]string
}

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A number is an int64, a list one of these, and a date a time.
func typed(value interface{}, list func([]int64) interface{}) interface{} {
	switch v := value.(type) {
	case json.Number:
		n, err := v.Int64()
		must(err)
		return n
	case []interface{}:
		var all []int64
		for _, each := range v {
			n, err := each.(json.Number).Int64()
			must(err)
			all = append(all, n)
		}
		return list(all)
	case map[string]interface{}:
		if day, is := v["date"]; is {
			t, err := time.Parse("2006-01-02", day.(string))
			must(err)
			return t
		}
		if number, is := v["numeric"]; is {
			return number
		}
		text, err := json.Marshal(v["json"])
		must(err)
		return string(text)
	}
	return value
}

func typedAll(values []interface{}, list func([]int64) interface{}) []interface{} {
	var all []interface{}
	for _, value := range values {
		all = append(all, typed(value, list))
	}
	return all
}

func shown(value interface{}) interface{} {
	if bytes, is := value.([]byte); is {
		return string(bytes)
	}
	return fmt.Sprint(value)
}

func failed(err error) said {
	var ofPq *pq.Error
	var ofPgx *pgconn.PgError
	switch {
	case errors.As(err, &ofPq):
		return said{Error: []string{string(ofPq.Code), ofPq.Message}}
	case errors.As(err, &ofPgx):
		return said{Error: []string{ofPgx.Code, ofPgx.Message}}
	}
	return said{Error: []string{"", err.Error()}}
}

func answer(c client, work func() (said, error)) said {
	found, err := work()
	if err != nil {
		found = failed(err)
	}
	found.Notices, *c.notices() = *c.notices(), nil
	return found
}

// By database/sql.
type byPq struct {
	conn *sql.Conn
	told []string
}

func openPq(options string) client {
	c := &byPq{}
	connector, err := pq.NewConnector(options)
	must(err)
	db := sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, func(notice *pq.Error) { c.told = append(c.told, notice.Message) }))
	c.conn, err = db.Conn(ctx)
	must(err)
	return c
}

func (c *byPq) notices() *[]string { return &c.told }

func (c *byPq) ask(o one) (said, error) {
	rows, err := c.conn.QueryContext(ctx, o.sql, typedAll(o.values, func(all []int64) interface{} { return pq.Array(all) })...)
	if err != nil {
		return said{}, err
	}
	defer rows.Close()
	var found said
	types, err := rows.ColumnTypes()
	must(err)
	for _, t := range types {
		found.Columns = append(found.Columns, []interface{}{t.Name(), t.DatabaseTypeName()})
	}
	for rows.Next() {
		row, places := make([]interface{}, len(types)), make([]interface{}, len(types))
		for i := range row {
			places[i] = &row[i]
		}
		must(rows.Scan(places...))
		for i := range row {
			row[i] = shown(row[i])
		}
		found.Rows = append(found.Rows, row)
	}
	return found, rows.Err()
}

func (c *byPq) many(all []one) (found []said) {
	for _, o := range all {
		o := o
		found = append(found, answer(c, func() (said, error) { return c.ask(o) }))
	}
	return
}

// pgx: with a cache, without one, and below it pgconn, which sends all in one, as pgx 5 does with QueryExecModeExec.
type byPgx struct {
	conn   *pgx.Conn
	isExec bool
	told   []string
}

func openPgx(options string, isExec bool) client {
	c := &byPgx{isExec: isExec}
	config, err := pgx.ParseConfig(options)
	must(err)
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) { c.told = append(c.told, notice.Message) }
	if isExec {
		config.BuildStatementCache = nil
	}
	c.conn, err = pgx.ConnectConfig(ctx, config)
	must(err)
	return c
}

func (c *byPgx) notices() *[]string { return &c.told }

func texts(values []interface{}) (all [][]byte) {
	for _, value := range values {
		switch v := typed(value, func(all []int64) interface{} { return "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(all), " ", ","), "[]") + "}" }).(type) {
		case nil:
			all = append(all, nil)
		case time.Time:
			all = append(all, []byte(v.Format("2006-01-02")))
		default:
			all = append(all, []byte(fmt.Sprint(v)))
		}
	}
	return
}

func (c *byPgx) ask(o one) (said, error) {
	var found said
	if c.isExec {
		result := c.conn.PgConn().ExecParams(ctx, o.sql, texts(o.values), nil, nil, nil)
		for _, f := range result.FieldDescriptions() {
			found.Columns = append(found.Columns, []interface{}{string(f.Name), f.DataTypeOID})
		}
		for result.NextRow() {
			var row []interface{}
			for _, value := range result.Values() {
				row = append(row, shown(append([]byte{}, value...)))
			}
			found.Rows = append(found.Rows, row)
		}
		tag, err := result.Close()
		found.Tag = tag.String()
		return found, err
	}
	rows, err := c.conn.Query(ctx, o.sql, typedAll(o.values, func(all []int64) interface{} { return all })...)
	if err != nil {
		return said{}, err
	}
	defer rows.Close()
	return readPgx(rows)
}

func readPgx(rows pgx.Rows) (found said, err error) {
	for _, f := range rows.FieldDescriptions() {
		found.Columns = append(found.Columns, []interface{}{string(f.Name), f.DataTypeOID})
	}
	for rows.Next() {
		var row []interface{}
		for _, value := range rows.RawValues() {
			row = append(row, fmt.Sprintf("%x", value))
		}
		found.Rows = append(found.Rows, row)
	}
	found.Tag = rows.CommandTag().String()
	return found, rows.Err()
}

func (c *byPgx) many(all []one) (found []said) {
	if c.isExec {
		batch := &pgconn.Batch{}
		for _, o := range all {
			batch.ExecParams(o.sql, texts(o.values), nil, nil, nil)
		}
		return []said{answer(c, func() (said, error) {
			results, err := c.conn.PgConn().ExecBatch(ctx, batch).ReadAll()
			var in said
			for _, result := range results {
				each := said{Tag: result.CommandTag.String()}
				for _, values := range result.Rows {
					var row []interface{}
					for _, value := range values {
						row = append(row, shown(value))
					}
					each.Rows = append(each.Rows, row)
				}
				in.All = append(in.All, each)
			}
			return in, err
		})}
	}
	batch := &pgx.Batch{}
	for _, o := range all {
		batch.Queue(o.sql, typedAll(o.values, func(all []int64) interface{} { return all })...)
	}
	results := c.conn.SendBatch(ctx, batch)
	for range all {
		found = append(found, answer(c, func() (said, error) {
			rows, err := results.Query()
			if err != nil {
				return said{}, err
			}
			defer rows.Close()
			return readPgx(rows)
		}))
	}
	results.Close()
	return
}

var open = map[string]func() client{
	"lib_pq":        func() client { return openPq("") },
	"lib_pq_binary": func() client { return openPq("binary_parameters=yes") },
	"pgx":           func() client { return openPgx("", false) },
	"pgx_describe":  func() client { return openPgx("statement_cache_mode=describe", false) },
	"pgx_exec":      func() client { return openPgx("", true) },
}

func main() {
	clients := map[string]client{}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var todo asked
		decoder := json.NewDecoder(strings.NewReader(string(line)))
		decoder.UseNumber()
		must(decoder.Decode(&todo))
		c := clients[todo.To]
		if c == nil {
			c = open[os.Args[1]]()
			clients[todo.To] = c
		}
		var found said
		if todo.Many != nil {
			var all []one
			for _, each := range todo.Many {
				var o one
				must(json.Unmarshal(each[0], &o.sql))
				decoder := json.NewDecoder(strings.NewReader(string(each[1])))
				decoder.UseNumber()
				must(decoder.Decode(&o.values))
				all = append(all, o)
			}
			found.All = c.many(all)
		} else {
			found = answer(c, func() (said, error) { return c.ask(one{todo.SQL, todo.Values}) })
		}
		text, err := json.Marshal(found)
		must(err)
		fmt.Println(string(text))
	}
}
