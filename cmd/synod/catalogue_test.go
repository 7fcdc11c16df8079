package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// serverFolders hold what runs in a server, from the module's root.
var serverFolders = []string{".", "cmd/synod", "etcdapi", "etcdsnapshot", "internal/relay", "internal/serverconfig", "kv", "snapshot", "transport", "wal"}

// TestTheCatalogueOfLogLinesIsTheCodes compares docs/operations.md with what the code can log at warn and error, both ways.
func TestTheCatalogueOfLogLinesIsTheCodes(t *testing.T) {
	logged := loggedLines(t)
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	catalogued := cataloguedLines(t, string(text))
	for _, line := range slices.Sorted(maps.Keys(logged)) {
		if !catalogued[line] {
			t.Errorf("%s logs %s, which the catalogue in docs/operations.md does not explain", logged[line], line)
		}
	}
	for _, line := range slices.Sorted(maps.Keys(catalogued)) {
		if logged[line] == "" {
			t.Errorf("the catalogue in docs/operations.md explains %s, which no code logs", line)
		}
	}
	if len(logged) < 30 {
		t.Errorf("only %d lines found in the code", len(logged))
	}
}

// cataloguedLines returns level and message of each row of the catalogue.
func cataloguedLines(t *testing.T, text string) map[string]bool {
	t.Helper()
	_, section, found := strings.Cut(text, "\n## What the log says\n")
	if !found {
		t.Fatal("docs/operations.md has no catalogue of log lines")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	lines := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (warn|error) \\| .+ \\|$").FindAllStringSubmatch(section, -1) {
		line := row[2] + " " + strconv.Quote(row[1])
		if lines[line] {
			t.Errorf("the catalogue explains %s twice", line)
		}
		lines[line] = true
	}
	return lines
}

// loggedLines returns where the code logs at warn and error, by level and message.
func loggedLines(t *testing.T) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, folder := range serverFolders {
		names, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files := token.NewFileSet()
		var parsed []*ast.File
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		p := logging{files: files, parsed: parsed, lines: lines}
		p.collect(t)
	}
	return lines
}

// logging is one package, searched for what it logs.
type logging struct {
	files  *token.FileSet
	parsed []*ast.File
	lines  map[string]string
}

// toOperators are the methods that log, and at which level.
var toOperators = map[string]string{"Warn": "warn", "Error": "error"}

// passedOn are messages that this program does not word, and why.
var passedOn = map[string]string{
	"warning":                      "what the flags ask for and do not get is a sentence each, in the flags' own words",
	"fmt.Sprintf(format, args...)": "Pebble's words",
}

func (p *logging) collect(t *testing.T) {
	p.calls(func(in *ast.FuncDecl, call *ast.CallExpr) {
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || len(call.Args) == 0 || toOperators[method.Sel.Name] == "" || !isLogger(method.X) {
			return
		}
		messages := p.messages(in, call.Args[0])
		if len(messages) == 0 && passedOn[source(call.Args[0])] == "" {
			t.Errorf("%s: cannot tell which message is logged", p.files.Position(call.Pos()))
		}
		for _, message := range messages {
			p.lines[toOperators[method.Sel.Name]+" "+strconv.Quote(message)] = p.files.Position(call.Pos()).String()
		}
	})
}

// calls visits every call in the package, and the function that it is in.
func (p *logging) calls(visit func(*ast.FuncDecl, *ast.CallExpr)) {
	for _, file := range p.parsed {
		for _, decl := range file.Decls {
			in, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(in, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					visit(in, call)
				}
				return true
			})
		}
	}
}

func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "logger" || x.Name == "log"
	case *ast.SelectorExpr:
		return isLogger(x.Sel) || x.Sel.Name == "Logger"
	}
	return false
}

// messages are the literals that an argument can be: itself, what its variable is given in the same function, or what callers pass for the parameter.
func (p *logging) messages(in *ast.FuncDecl, arg ast.Expr) (messages []string) {
	switch arg := arg.(type) {
	case *ast.BasicLit:
		message, err := strconv.Unquote(arg.Value)
		if err != nil {
			return nil
		}
		return []string{message}
	case *ast.BinaryExpr:
		return p.messages(in, arg.X) // a fixed beginning
	case *ast.Ident:
		ast.Inspect(in, func(n ast.Node) bool {
			if assign, ok := n.(*ast.AssignStmt); ok {
				for i, to := range assign.Lhs {
					if name, ok := to.(*ast.Ident); ok && name.Name == arg.Name && i < len(assign.Rhs) {
						messages = append(messages, p.messages(in, assign.Rhs[i])...)
					}
				}
			}
			return true
		})
		if place := placeOf(in, arg.Name); place >= 0 {
			p.calls(func(caller *ast.FuncDecl, call *ast.CallExpr) {
				if called(call) == in.Name.Name && place < len(call.Args) {
					messages = append(messages, p.messages(caller, call.Args[place])...)
				}
			})
		}
	}
	return messages
}

// placeOf returns which parameter of a function has a name; -1 if none.
func placeOf(in *ast.FuncDecl, name string) int {
	place := 0
	for _, field := range in.Type.Params.List {
		for _, param := range field.Names {
			if param.Name == name {
				return place
			}
			place++
		}
	}
	return -1
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// source renders what passedOn lists.
func source(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.CallExpr:
		var args []string
		for _, arg := range x.Args {
			args = append(args, source(arg))
		}
		dots := ""
		if x.Ellipsis.IsValid() {
			dots = "..."
		}
		return source(x.Fun) + "(" + strings.Join(args, ", ") + dots + ")"
	case *ast.SelectorExpr:
		return source(x.X) + "." + x.Sel.Name
	}
	return ""
}
