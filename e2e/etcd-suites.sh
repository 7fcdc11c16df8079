#!/usr/bin/env bash
# Runs etcd's own end-to-end suites, unmodified, against synod under the name etcd.
# Usage: etcd-suites.sh common|common-full|e2e [REGEXP]
#   common       tests/common: each test without TLS and with it; etcd's short matrix
#   common-full  the same with certificates made up at start as well
#   e2e          tests/e2e
# REGEXP picks among the tests that the suite's list in etcd-suites/ says to run. Prints a line for each test and exits 1 if one failed.
# SUITES_DIR keeps what was built and the log of each test in a directory of that name; by default a temporary one is used and removed.
set -euo pipefail

suite=${1:?usage: etcd-suites.sh common|common-full|e2e [REGEXP]} pick=${2:-.}
case $suite in
  common) package=common minimal=true ;;
  common-full) package=common minimal=false ;;
  e2e) package=e2e minimal=true ;;
  *) echo "unknown suite $suite; use common, common-full or e2e" >&2; exit 2 ;;
esac

cd "$(dirname "$0")"
list=$PWD/etcd-suites/$package-tests.txt
dir=${SUITES_DIR:-$(mktemp -d)}
[[ -n ${SUITES_DIR:-} ]] || trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/bin" "$dir/tmp"
dir=$(cd "$dir" && pwd)

(cd .. && CGO_ENABLED=0 go build -o "$dir/bin/etcd" ./cmd/synod)
for tool in etcdctl etcdutl; do
  go build -o "$dir/bin/$tool" "go.etcd.io/etcd/$tool/v3"
done
go test -c -tags e2e -o "$dir/$package.test" "go.etcd.io/etcd/tests/v3/$package"
source=$(go list -m -f '{{.Dir}}' go.etcd.io/etcd/tests/v3)/$package

# A test that the list does not know is a new one: somebody has to decide on it.
cd "$source" # the suites read certificates beside their source
listed=$(cut -f1 "$list" | sort)
there=$("$dir/$package.test" --bin-dir="$dir/bin" -test.list . | grep '^Test' | sort)
if [[ $listed != "$there" ]]; then
  echo "$list is not the list of the suite's tests:" >&2
  diff <(echo "$listed") <(echo "$there") >&2 || true
  exit 2
fi

runs() { awk -F'\t' -v pick="$pick" '$2 == "run" && $1 ~ pick {print $1}' "$list"; }
[[ -n $(runs) ]] || { echo "no test that is to be run matches $pick" >&2; exit 2; }

# Each test is a process of its own: one that leaks a goroutine or panics would have the others skipped.
outcome() {
  TMPDIR=$dir/tmp E2E_TEST_MINIMAL=$minimal "$dir/$package.test" --bin-dir="$dir/bin" \
    -test.v -test.timeout 10m -test.run "^$1\$" </dev/null >"$dir/$1.log" 2>&1 || true
  sed -n "s/^--- \(PASS\|FAIL\|SKIP\): $1 .*/\L\1/p" "$dir/$1.log"
}

declare -A count=([pass]=0 [fail]=0 [skip]=0)
for test in $(runs); do
  got=$(outcome "$test")
  printf '%-60s %s\n' "$test" "${got:-fail (it did not end)}"
  count[${got:-fail}]=$((${count[${got:-fail}]} + 1))
done
awk -F'\t' -v pick="$pick" '$2 != "run" && $1 ~ pick {printf "%-60s left out: %s\n", $1, $2}' "$list"
left=$(awk -F'\t' -v pick="$pick" '$2 != "run" && $1 ~ pick' "$list" | wc -l)
printf '\n%d passed, %d failed, %d skipped by themselves, %d left out\n' "${count[pass]}" "${count[fail]}" "${count[skip]}" "$left"
[[ ${count[fail]} == 0 ]]
