// Renders a chart's template with the functions of Helm's that it uses: render TEMPLATE, values as JSON on standard input.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

func main() {
	var values map[string]interface{}
	if err := json.NewDecoder(os.Stdin).Decode(&values); err != nil {
		panic(err)
	}
	functions := template.FuncMap{
		"toJson": func(v interface{}) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"dict": func(kv ...string) map[string]string {
			d := map[string]string{}
			for i := 0; i+1 < len(kv); i += 2 {
				d[kv[i]] = kv[i+1]
			}
			return d
		},
		"hasKey": func(d map[string]string, key string) bool { _, is := d[key]; return is },
		"default": func(d, v interface{}) interface{} {
			if v == nil || v == "" {
				return d
			}
			return v
		},
		"fail":      func(s string) (string, error) { return "", errors.New(s) },
		"splitList": func(sep, s string) []string { return strings.Split(s, sep) },
		"sha256sum": func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) },
	}
	t := template.Must(template.New(filepath.Base(os.Args[1])).Funcs(functions).ParseFiles(os.Args[1]))
	if err := t.Execute(os.Stdout, values); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
