// Package session is the table by which a command that its client sends again and again is executed once.
//
// A client opens a session and numbers its commands in it. The table is part of the replicated state: every replica asks it about every command of a session, in the order of the log, and gets the same
// answer: execute it, or do not. What an executed command came to is remembered until the client says that it knows.
//
// The package is pure: its time is the log's, and it knows neither of slots nor of the machine that executes. A Table is for one goroutine.
package session
