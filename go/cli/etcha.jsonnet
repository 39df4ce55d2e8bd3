// The configuration of this repository: what `make run` starts a node with, and
// an example with the keys that most people need. Every key and its default is
// in docs/references/configuration.md; `etcha config` shows what is in force and
// `etcha config check` what is wrong.
//
// Etcha finds this file as etcha.jsonnet in the working directory or the nearest
// parent, else as /etc/etcha/etcha.jsonnet. Any key can be set from outside too:
//
//   etcha_run_stateDir=/srv/etcha etcha run        # environment
//   etcha -x run_stateDir=/srv/etcha run           # command line, wins
{
  // How the program talks to you.
  cli: {
    // `etcha shell` alone opens this source on this target.
    defaultSource: 'debug',
    defaultTarget: 'localhost',

    logFormat: 'human',  // or kv, json
    logLevel: 'info',  // or debug, warn, error, none
  },

  // Who you are to other nodes: the key that signs your requests. Secrets do not
  // belong in a file like this one. `etcha generate-keys --out operator` makes the
  // key as a file of its own, which a bare name finds here or in a parent folder.
  build: {
    signingKeyPath: 'operator',
  },

  // Where this node listens. Loopback is for trying it out; the default, ':4000',
  // is every address of the machine.
  httpServer: {
    listenAddress: '127.0.0.1:4000',
  },

  // Whom this node trusts: the public keys (operator.pub) of those who may use its
  // sources. `make run` puts in a key that it has just made.
  run: {
    verifyKeys: [
      // 'ed25519public:MCowBQYDK2VwAyEA…:alice@laptop',
    ],
  },

  // What this node offers, by name.
  sources: {
    debug: {
      // A shell, as the user that the node runs as. A node that runs as root would
      // rather say: exec: { user: 'operator', group: 'operator' }.
      shell: {
        command: '/bin/bash',

        // Without input and output for this long the session ends.
        idleTimeout: '30m',
        // The session waits this long for a client that has vanished.
        resumeFor: '5m',
        // Whether a client may choose another program: etcha shell -c, or after --.
        allowCommand: true,
      },

      // More programs of the same source: etcha shell --process top debug
      processes: {
        top: { command: 'top' },
      },

      // Keys that may use this source and no other; run.verifyKeys counts too.
      verifyKeys: [],
    },
  },

  // Other nodes, by name. A host that is not listed works as well.
  targets: {
    localhost: {
      hostname: '127.0.0.1',
      port: 4000,
      // The node's ID, from `etcha node id` over there. Without it the ID that is
      // seen first is remembered, as with ssh.
      // nodeID: 'SHA256:…',
    },
  },
}
