package synod

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheSurvivalTableNamesTestsThatExist reads docs/survival.md and all tests of the project, those of nested modules included.
func TestTheSurvivalTableNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "survival.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllSubmatch(page, -1)
	if len(named) < 50 {
		t.Fatalf("the table names %d tests", len(named))
	}
	exist := map[string]bool{}
	definition := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err = filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range definition.FindAllSubmatch(source, -1) {
			exist[string(found[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range named {
		if !exist[string(name[1])] {
			t.Errorf("%s is named, and does not exist", name[1])
		}
	}
}
