package main

import (
	"crypto/tls"
	"log/slog"
	"net"

	"synod.dev/synod/etcdapi"
	"synod.dev/synod/internal/serverconfig"
)

// openBystander starts a member that does not learn, and so has no store: a node, metrics, health and status.
func (m *member) openBystander(config *serverconfig.Config, self identity, clients []etcdapi.Listener, peers net.Listener, peerTLS *tls.Config, logger *slog.Logger) (err error) {
	observer := etcdapi.NewObserver()
	if m.node, err = openNode(config, self, peers, peerTLS, nil, observer, logger); err != nil {
		return err
	}
	m.closers = append(m.closers, m.node.Close)
	m.served.Go(m.watchNode)
	m.serve(etcdapi.NewBystander(etcdapi.BystanderConfig{Node: m.node, Observer: observer, Listeners: clients, Handlers: m.handlers(config), Logger: m.logger}))
	return nil
}
