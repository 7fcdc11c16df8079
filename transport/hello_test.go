package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var someHello = hello{
	from:     Identity{Cluster: 0x1122334455667788, Node: 0xA1, Incarnation: 0xB2},
	to:       0xC3,
	class:    Background,
	greeting: []byte("greeting"),
}

func TestHandshakeBytesAreAsDocumented(t *testing.T) {
	for want, message := range map[string][]byte{
		"53594e440100010030000000c75b45168877665544332211a100000000000000b200000000000000c30000000000000002000000080000006772656574696e67": appendMessage(nil, kindHello, someHello.encode()),
		"53594e440100030000000000803a78a9":             appendMessage(nil, kindBegin, nil),
		"53594e440100040006000000775a0c18030002006e6f": appendMessage(nil, kindRefusal, (&refusal{refusedCluster, "no"}).encode()),
	} {
		if got := hex.EncodeToString(message); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestHelloSurvivesEncodingAndIgnoresFieldsOfNewerMinors(t *testing.T) {
	for _, trailing := range []string{"", "fields of the future"} {
		message := appendMessage(nil, kindHello, append(someHello.encode(), trailing...))
		kind, body, err := readMessage(bytes.NewReader(message))
		if err != nil || kind != kindHello {
			t.Fatalf("kind %d, %v", kind, err)
		}
		if got, err := decodeHello(body); err != nil || !reflect.DeepEqual(*got, someHello) {
			t.Errorf("with %q at its end: %+v, %v", trailing, got, err)
		}
	}
}

func TestHandshakeWithAFlippedBitIsNotUnderstood(t *testing.T) {
	message := appendMessage(nil, kindHello, someHello.encode())
	for bit := range len(message) * 8 {
		message[bit/8] ^= 1 << (bit % 8)
		if kind, body, err := readMessage(bytes.NewReader(message)); err == nil {
			t.Fatalf("bit %d flipped: read as kind %d with %d bytes", bit, kind, len(body))
		}
		message[bit/8] ^= 1 << (bit % 8)
	}
}

func TestMalformedBodiesAreRefused(t *testing.T) {
	valid := someHello.encode()
	tooLong := hello{greeting: make([]byte, MaxGreetingBytes+1)}
	padded := bytes.Clone(valid)
	padded[34] = 1
	for name, body := range map[string][]byte{
		"empty": nil, "cut in its fields": valid[:helloSize-1], "cut in its greeting": valid[:len(valid)-1],
		"with too long a greeting": tooLong.encode(), "with its padding used": padded,
	} {
		if h, err := decodeHello(body); err != errMalformed {
			t.Errorf("a hello %s was read as %+v, %v", name, h, err)
		}
	}
	refused := (&refusal{refusedCluster, "reason"}).encode()
	for name, body := range map[string][]byte{
		"empty": nil, "cut": refused[:len(refused)-1], "with too long a reason": append([]byte{1, 0, 1, 1}, make([]byte, 300)...),
	} {
		if r, err := decodeRefusal(body); err != errMalformed {
			t.Errorf("a refusal %s was read as %+v, %v", name, r, err)
		}
	}
}

func TestOnlyARefusalIsReadFromAnotherMajorVersion(t *testing.T) {
	for kind, understood := range map[messageKind]bool{kindHello: false, kindWelcome: false, kindBegin: false, kindRefusal: true} {
		message := ofVersion(protocolMajor+1, 0, appendMessage(nil, kind, someHello.encode()))
		_, _, err := readMessage(bytes.NewReader(message))
		r, refused := errors.AsType[*refusal](err)
		if refused == understood || refused && r.code != refusedVersion {
			t.Errorf("kind %d of another major: %v", kind, err)
		}
	}
	if _, _, err := readMessage(bytes.NewReader(ofVersion(protocolMajor, protocolMinor+1, appendMessage(nil, kindBegin, nil)))); err != nil {
		t.Errorf("a newer minor: %v", err)
	}
}

// ofVersion rewrites a message as another version would have sent it.
func ofVersion(major, minor byte, message []byte) []byte {
	b := append([]byte(magic), major, minor)
	b = append(b, message[6:12]...)
	b = binary.LittleEndian.AppendUint32(b, messageSum(b, message[messageHeaderSize:]))
	return append(b, message[messageHeaderSize:]...)
}

func TestReasonIsOneShortPrintableLine(t *testing.T) {
	for _, reason := range []string{"plain", "two\nlines\x1b[31m", strings.Repeat("é", 300), "a\xff\xfe", ""} {
		r, err := decodeRefusal((&refusal{refusedByHandler, reason}).encode())
		if err != nil {
			t.Fatal(err)
		}
		if len(r.reason) > maxReasonBytes || strings.ContainsAny(r.reason, "\n\x1b") || !utf8.ValidString(r.reason) {
			t.Errorf("%q arrived as %q", reason, r.reason)
		}
		if reason == "plain" && r.reason != reason {
			t.Errorf("%q arrived as %q", reason, r.reason)
		}
	}
}

func FuzzHandshakeMessage(f *testing.F) {
	f.Add(appendMessage(nil, kindHello, someHello.encode()))
	f.Add(appendMessage(nil, kindRefusal, (&refusal{refusedCluster, "no"}).encode()))
	f.Add(appendMessage(nil, kindBegin, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, body, err := readMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := ofVersion(b[4], b[5], appendMessage(nil, kind, body)); !bytes.HasPrefix(b, again) {
			t.Fatalf("message of kind %d is not what its writer would have written", kind)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(someHello.encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		if h, err := decodeHello(body); err == nil && !bytes.HasPrefix(body, h.encode()) {
			t.Fatalf("%+v is encoded in another way than it was read", h)
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add((&refusal{refusedCluster, "no"}).encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeRefusal(body)
		if err == nil && (len(r.reason) > maxReasonBytes || strings.Contains(r.reason, "\n")) {
			t.Fatalf("reason %q is not fit for a log", r.reason)
		}
	})
}
