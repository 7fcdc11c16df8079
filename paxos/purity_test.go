package paxos

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// The promise of the package comment, that the same events give the same effects, holds because of what the code does not contain. These tests read
// the source and say where it breaks that promise. Each rule is tried on a sample that breaks it, too.

// mayImport is everything that the core needs. None of it starts a goroutine, reads a clock or does I/O.
var mayImport = []string{"bytes", "cmp", "encoding/binary", "errors", "fmt", "hash/crc32", "maps", "math/bits", "slices"}

func TestTheCoreImportsAShortListOfPackages(t *testing.T) {
	for _, f := range parseCore(t).files {
		for _, spec := range f.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); !slices.Contains(mayImport, path) {
				t.Errorf("%v imports %s", f.Name, path)
			}
		}
	}
}

func TestTheCoreIsPure(t *testing.T) {
	for _, breach := range parseCore(t).breaches() {
		t.Error(breach)
	}
}

func TestThePurityCheckSeesEveryBreach(t *testing.T) {
	for _, tc := range []struct{ name, source, breach string }{
		{"goroutine", `func f() { go f() }`, "goroutine"},
		{"channel type", `var c chan int`, "channel"},
		{"channel made", `func f() { _ = make(chan int) }`, "channel"},
		{"send", `func f(c C) { c <- 1 }; type C chan<- int`, "channel"},
		{"receive", `func f(c C) { <-c }; type C chan int`, "channel"},
		{"select", `func f() { select {} }`, "select"},
		{"map range", `func f(m map[int]int) { for range m { } }`, "map"},
		{"named map range", `type M map[int]int; func f(m M) { for k := range m { _ = k } }`, "map"},
		{"generic map range", `func f[K comparable](m map[K]int) { for k := range m { _ = k } }`, "map"},
		{"float type", `var x float64`, "floating point"},
		{"float literal", `func f() { x := 1.5; _ = x }`, "floating point"},
		{"float field", `type T struct{ x float32 }`, "floating point"},
		{"variable set", `var n int; func f() { n = 1 }`, "variable"},
		{"variable incremented", `var n int; func f() { n++ }`, "variable"},
		{"element set", `var a [3]int; func f() { a[1] = 2 }`, "variable"},
		{"field set", `var s struct{ x int }; func f() { s.x = 2 }`, "variable"},
		{"address taken", `var n int; func f() *int { return &n }`, "variable"},
		{"loop variable", `var n int; func f() { for n = range 3 { } }`, "variable"},
		{"pointer method called", `var s T; type T struct{ n int }; func (t *T) add() { t.n++ }; func f() { s.add() }`, "variable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			core := source{fset: token.NewFileSet()}
			f, err := parser.ParseFile(core.fset, "sample.go", "package sample\n"+tc.source, 0)
			if err != nil {
				t.Fatal(err)
			}
			core.files = []*ast.File{f}
			core.check(t)
			for _, breach := range core.breaches() {
				if strings.Contains(breach, tc.breach) {
					return
				}
			}
			t.Fatalf("no breach that speaks of %q is found in: %s", tc.breach, tc.source)
		})
	}
}

// source is a package as written and as understood.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	info  types.Info
	pkg   *types.Package
}

func parseCore(t *testing.T) *source {
	t.Helper()
	s := &source{fset: token.NewFileSet()}
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pkg.GoFiles {
		f, err := parser.ParseFile(s.fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, f)
	}
	if others := slices.Concat(pkg.CgoFiles, pkg.SFiles, pkg.IgnoredGoFiles); len(s.files) == 0 || len(others) > 0 {
		t.Fatalf("%d files are read, and these are not: %v", len(s.files), others)
	}
	s.check(t)
	return s
}

func (s *source) check(t *testing.T) {
	t.Helper()
	s.info = types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: importer.ForCompiler(s.fset, "source", nil)}
	pkg, err := conf.Check("checked", s.fset, s.files, &s.info)
	if err != nil {
		t.Fatal(err)
	}
	s.pkg = pkg
}

// breaches returns a line for each construct that could make two runs differ.
func (s *source) breaches() (found []string) {
	report := func(n ast.Node, what string) { found = append(found, s.fset.Position(n.Pos()).String()+": "+what) }
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				report(n, "a goroutine is started")
			case *ast.SelectStmt:
				report(n, "a select chooses by chance")
			case *ast.ChanType, *ast.SendStmt:
				report(n, "a channel is used")
			case *ast.RangeStmt:
				if s.isMap(n.X) {
					report(n, "the order of a map decides")
				}
				s.checkWrite(n.Key, report)
				s.checkWrite(n.Value, report)
			case *ast.UnaryExpr:
				switch n.Op {
				case token.ARROW:
					report(n, "a channel is used")
				case token.AND:
					s.checkWrite(n.X, report)
				}
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					s.checkWrite(left, report)
				}
			case *ast.IncDecStmt:
				s.checkWrite(n.X, report)
			case *ast.SelectorExpr:
				if s.takesAddress(n) {
					s.checkWrite(n.X, report)
				}
			case ast.Expr:
				if s.isFloat(n) {
					report(n, "floating point is used")
				}
			}
			return true
		})
	}
	return found
}

func (s *source) isMap(x ast.Expr) bool {
	_, ok := s.info.Types[x].Type.Underlying().(*types.Map)
	return ok
}

func (s *source) isFloat(x ast.Expr) bool {
	tv, ok := s.info.Types[x]
	if !ok || tv.Type == nil {
		return false
	}
	basic, ok := tv.Type.Underlying().(*types.Basic)
	return ok && basic.Info()&(types.IsFloat|types.IsComplex) != 0
}

// takesAddress reports whether a method is called whose receiver is a pointer to the variable named.
func (s *source) takesAddress(x *ast.SelectorExpr) bool {
	sel := s.info.Selections[x]
	if sel == nil || sel.Kind() != types.MethodVal {
		return false
	}
	_, pointer := sel.Obj().Type().(*types.Signature).Recv().Type().Underlying().(*types.Pointer)
	_, already := sel.Recv().Underlying().(*types.Pointer)
	return pointer && !already
}

// checkWrite reports the expression if what it stands for is, or lies in, a variable of the package.
func (s *source) checkWrite(x ast.Expr, report func(ast.Node, string)) {
	root := x
	for {
		switch y := root.(type) {
		case *ast.IndexExpr:
			root = y.X
		case *ast.SelectorExpr:
			root = y.X
		case *ast.StarExpr:
			root = y.X
		case *ast.ParenExpr:
			root = y.X
		case *ast.SliceExpr:
			root = y.X
		case *ast.Ident:
			if v, ok := s.info.Uses[y].(*types.Var); ok && v.Parent() == s.pkg.Scope() {
				report(x, "the package's variable "+y.Name+" is changed or lent out")
			}
			return
		default:
			return
		}
	}
}
