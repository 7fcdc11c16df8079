package transport

import "errors"

// Why a connection ended, beyond what the network itself reports. A new one is dialled in every case.
var (
	errFrameHeader  = errors.New("frame header is corrupt: the bytes were damaged on the way")
	errFramePayload = errors.New("frame payload is corrupt: the bytes were damaged on the way")
	errFrameStray   = errors.New("frame does not belong on this connection: the peer is not what it claims to be")
	errFrameTooLong = errors.New("frame is too long: set MaxFrameBytes alike on all members")
	errNotSynod     = errors.New("not a synod handshake: something else is talking to this port")
	errMalformed    = errors.New("handshake message is malformed")
	errUnverified   = errors.New("the other side showed no certificate that was verified")
	errClosedByPeer = errors.New("closed by the peer")
	errSilent       = errors.New("no sign of life within the idle timeout")
	errSuperseded   = errors.New("the peer has made a new connection")
	errCrowdedOut   = errors.New("too many unfinished handshakes: the oldest had to go")
	errNoPeer       = errors.New("the node is no peer any more")
	errInquiry      = errors.New("it only wanted to know who this is")
	errClosing      = errors.New("this transport is closing")
)

// faults are those that an operator has to see to: every other end of a connection comes with a network, or with the stop of a member.
var faults = []error{errFrameHeader, errFramePayload, errFrameStray, errFrameTooLong, errNotSynod, errMalformed, errUnverified, errCrowdedOut}
