package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Environment is the variable that names the mutant in force. Without it the program behaves as if there were none.
const Environment = "SYNOD_MUTANT"

// activeName is the variable that each mutated package gets, and the file that declares it.
const (
	activeName = "activeMutant"
	activeFile = "active_mutant.go"
)

// Overlay writes the mutated sources of the module at root, and the overlay file that names them, into dir, and returns the
// overlay file's path, for `go build -overlay`. It fails if a mutant does not fit the code any more.
func Overlay(root, dir string, all []Mutant) (string, error) {
	byFile := map[string][]Mutant{}
	ids := map[string]bool{}
	for _, m := range all {
		if ids[m.ID] {
			return "", fmt.Errorf("two mutants are called %s: rename one", m.ID)
		}
		ids[m.ID] = true
		byFile[m.File] = append(byFile[m.File], m)
	}
	replace := map[string]string{}
	var unfit []error
	for file, mutants := range byFile {
		path := filepath.Join(root, filepath.FromSlash(file))
		mutated, pkg, err := mutateFile(path, mutants)
		if err != nil {
			unfit = append(unfit, err)
			continue
		}
		active := fmt.Sprintf("package %s\n\nimport \"os\"\n\nvar %s = os.Getenv(%q)\n", pkg, activeName, Environment)
		for name, content := range map[string][]byte{path: mutated, filepath.Join(filepath.Dir(path), activeFile): []byte(active)} {
			copied := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(name, root+string(filepath.Separator)), string(filepath.Separator), "_"))
			if err := os.WriteFile(copied, content, 0o644); err != nil {
				return "", err
			}
			replace[name] = copied
		}
	}
	if len(unfit) > 0 {
		return "", errors.Join(unfit...)
	}
	overlay, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o644)
}

// mutateFile returns the source of a file with all its mutants, and its package's name.
func mutateFile(path string, mutants []Mutant) (mutated []byte, pkg string, err error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", err
	}
	f := mutatedFile{fset: fset, source: source, branches: map[int]*bytes.Buffer{}}
	var unfit []error
	for _, m := range mutants {
		decl := findFunction(file, m.Func)
		if decl == nil {
			unfit = append(unfit, fmt.Errorf("mutant %s: %s has no function %s: the code has moved on, adapt the mutant or drop it", m.ID, m.File, m.Func))
		} else {
			unfit = append(unfit, f.add(decl, m))
		}
	}
	return f.bytes(), file.Name.Name, errors.Join(unfit...)
}

// findFunction returns the declaration of Name or Type.Name, or nil.
func findFunction(file *ast.File, name string) *ast.FuncDecl {
	for _, d := range file.Decls {
		if decl, ok := d.(*ast.FuncDecl); ok && qualifiedName(decl) == name {
			return decl
		}
	}
	return nil
}

func qualifiedName(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return decl.Name.Name
	}
	t := decl.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	return t.(*ast.Ident).Name + "." + decl.Name.Name
}

// mutatedFile is a source file that grows branches behind opening braces and copies at its end.
type mutatedFile struct {
	fset     *token.FileSet
	source   []byte
	branches map[int]*bytes.Buffer // by the offset they are put at
	copies   bytes.Buffer
}

func (f *mutatedFile) text(from, to token.Pos) string {
	return string(f.source[f.fset.Position(from).Offset:f.fset.Position(to).Offset])
}

// add gives a function one more mutant. A mutant without an old text gets its new text at the beginning of the body.
func (f *mutatedFile) add(decl *ast.FuncDecl, m Mutant) error {
	body := f.text(decl.Body.Lbrace+1, decl.Body.End())
	switch n := strings.Count(body, m.Old); {
	case m.Old == "":
		body = " " + m.New + ";" + body
	case n != 1:
		return fmt.Errorf("mutant %s: its old text occurs %d times in %s of %s, not once: the code has moved on, adapt the mutant or drop it", m.ID, n, m.Func, m.File)
	default:
		body = strings.Replace(body, m.Old, m.New, 1)
	}
	copied := decl.Name.Name + "_" + strings.ReplaceAll(m.ID, "-", "_")
	fmt.Fprintf(&f.copies, "\n%s%s%s{%s\n", f.text(decl.Pos(), decl.Name.Pos()), copied, f.text(decl.Name.End(), decl.Body.Lbrace), body)
	call, err := callOf(decl, copied)
	if err != nil {
		return fmt.Errorf("mutant %s: %w", m.ID, err)
	}
	at := f.fset.Position(decl.Body.Lbrace).Offset + 1
	if f.branches[at] == nil {
		f.branches[at] = new(bytes.Buffer)
	}
	fmt.Fprintf(f.branches[at], " if %s == %q { %s };", activeName, m.ID, call)
	return nil
}

// callOf returns the statements that hand a call of the function on to its copy.
func callOf(decl *ast.FuncDecl, copied string) (string, error) {
	call := copied
	if decl.Recv != nil {
		if len(decl.Recv.List[0].Names) == 0 {
			return "", fmt.Errorf("the receiver of %s has no name: give it one", decl.Name.Name)
		}
		call = decl.Recv.List[0].Names[0].Name + "." + copied
	}
	if decl.Type.TypeParams != nil {
		call += "[" + strings.Join(fieldNames(decl.Type.TypeParams), ", ") + "]"
	}
	arguments := fieldNames(decl.Type.Params)
	if slices.Contains(arguments, "_") || len(arguments) < len(decl.Type.Params.List) {
		return "", fmt.Errorf("a parameter of %s has no name: give it one", decl.Name.Name)
	}
	call += "(" + strings.Join(arguments, ", ")
	if n := len(decl.Type.Params.List); n > 0 {
		if _, variadic := decl.Type.Params.List[n-1].Type.(*ast.Ellipsis); variadic {
			call += "..."
		}
	}
	call += ")"
	if decl.Type.Results == nil {
		return call + "; return", nil
	}
	return "return " + call, nil
}

func fieldNames(fields *ast.FieldList) (names []string) {
	for _, field := range fields.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// bytes returns the source with branches and copies.
func (f *mutatedFile) bytes() []byte {
	var out bytes.Buffer
	at := 0
	for _, offset := range sortedKeys(f.branches) {
		out.Write(f.source[at:offset])
		out.Write(f.branches[offset].Bytes())
		at = offset
	}
	out.Write(f.source[at:])
	out.Write(f.copies.Bytes())
	return out.Bytes()
}

func sortedKeys(m map[int]*bytes.Buffer) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
