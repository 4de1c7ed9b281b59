// Renders a chart's templates as Helm does, with sprig's functions and include: render FOLDER, what they see as JSON on
// standard input. Prints each file behind a line with its name.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
)

func functions(t *template.Template) template.FuncMap {
	f := sprig.TxtFuncMap()
	f["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := t.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	return f
}

func main() {
	var seen map[string]interface{}
	if err := json.NewDecoder(os.Stdin).Decode(&seen); err != nil {
		panic(err)
	}
	t := template.New("chart").Option("missingkey=zero")
	files, _ := filepath.Glob(filepath.Join(os.Args[1], "templates", "*"))
	template.Must(t.Funcs(functions(t)).ParseFiles(files...))
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		fmt.Printf("\n---\n# %s\n", name)
		if err := t.ExecuteTemplate(os.Stdout, name, seen); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
