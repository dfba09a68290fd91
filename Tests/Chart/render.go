// Renders a chart as helm does, which is not to be had everywhere: Go's templates with sprig's functions and
// helm's own (helm.sh/docs/chart_template_guide).
//
//	render [-revision N] [-namespace N] [-set a.b=JSON]... CHART RELEASE   prints one JSON array of documents
//	render -documents < FILE                                              the same of a stream of YAML
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

type object = map[string]interface{}

// As helm reads values: YAML by way of JSON, so that every number is a float64.
func read(text []byte) (object, error) {
	var raw interface{}
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	bytes, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	values := object{}
	return values, json.Unmarshal(bytes, &values)
}

func toYaml(value interface{}) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	var raw interface{}
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err = encoder.Encode(raw)
	return strings.TrimSuffix(out.String(), "\n"), err
}

func set(values object, path string, text string) error {
	var value interface{}
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Errorf("%s=%s: %w", path, text, err)
	}
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		next, ok := values[name].(object)
		if !ok {
			return fmt.Errorf("values.yaml has no %s", path)
		}
		values = next
	}
	last := names[len(names)-1]
	if _, ok := values[last]; !ok {
		return fmt.Errorf("values.yaml has no %s", path)
	}
	values[last] = value
	return nil
}

func functions(all *template.Template) template.FuncMap {
	known := sprig.TxtFuncMap()
	delete(known, "env")
	delete(known, "expandenv")
	known["toYaml"] = toYaml
	known["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	known["tpl"] = func(text string, data interface{}) (string, error) {
		copy, err := all.Clone()
		if err != nil {
			return "", err
		}
		one, err := copy.New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		err = one.Execute(&out, data)
		return out.String(), err
	}
	known["required"] = func(why string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(why)
		}
		if list, ok := value.([]interface{}); ok && len(list) == 0 {
			return nil, errors.New(why)
		}
		return value, nil
	}
	// Without a cluster helm finds nothing either.
	known["lookup"] = func(version, kind, namespace, name string) object { return object{} }
	return known
}

// The documents of a stream of YAML that are not empty.
func documents(text string) ([]interface{}, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	all := []interface{}{}
	for {
		var one interface{}
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if one != nil {
			all = append(all, one)
		}
	}
}

func render(folder, release, namespace string, revision int, settings []string) ([]interface{}, error) {
	text, err := os.ReadFile(filepath.Join(folder, "Chart.yaml"))
	if err != nil {
		return nil, err
	}
	plain, err := read(text)
	if err != nil {
		return nil, err
	}
	// Helm's names of a chart's fields begin with a capital.
	chart := object{}
	for name, value := range plain {
		chart[strings.ToUpper(name[:1])+name[1:]] = value
	}
	if text, err = os.ReadFile(filepath.Join(folder, "values.yaml")); err != nil {
		return nil, err
	}
	values, err := read(text)
	if err != nil {
		return nil, err
	}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		if err := set(values, name, value); err != nil {
			return nil, err
		}
	}
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	names, err := filepath.Glob(filepath.Join(folder, "templates", "*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if _, err := all.New(name).Parse(string(text)); err != nil {
			return nil, err
		}
	}
	data := object{
		"Values": values,
		"Chart":  chart,
		"Release": object{
			"Name": release, "Namespace": namespace, "Service": "Helm", "Revision": revision,
			"IsInstall": revision == 1, "IsUpgrade": revision > 1,
		},
		"Capabilities": object{"KubeVersion": object{"Version": "v1.32.0", "Major": "1", "Minor": "32"}},
	}
	found := []interface{}{}
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), "_") {
			continue
		}
		var out strings.Builder
		if err := all.ExecuteTemplate(&out, name, data); err != nil {
			return nil, err
		}
		// As helm prints what a template left without a value.
		result := strings.ReplaceAll(out.String(), "<no value>", "")
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		some, err := documents(result)
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, result)
		}
		found = append(found, some...)
	}
	return found, nil
}

type list []string

func (all *list) String() string { return strings.Join(*all, " ") }
func (all *list) Set(text string) error {
	*all = append(*all, text)
	return nil
}

func main() {
	var settings list
	flag.Var(&settings, "set", "a value: its place, =, and JSON")
	revision := flag.Int("revision", 1, "of the release")
	namespace := flag.String("namespace", "squall", "of the release")
	only := flag.Bool("documents", false, "read documents from standard input")
	flag.Parse()
	var found []interface{}
	var err error
	if *only {
		var text []byte
		if text, err = io.ReadAll(os.Stdin); err == nil {
			found, err = documents(string(text))
		}
	} else {
		found, err = render(flag.Arg(0), flag.Arg(1), *namespace, *revision, settings)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
