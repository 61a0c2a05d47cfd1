package main

const rootHelp = `stintd is the control plane of Stint: it takes requests for access, asks policy
and people, sets access up on the targets, takes it away at the end, and proves
that it is gone.

  stintd serve        run it; no setting is needed to begin with
  stintd backup       write a backup of the stopped installation
  stintd restore      put a backup into an empty store
  stintd restored     say that the data came from a backup, before it runs again
  stintd doctor       say what is wrong with a server that does not start
  stintd rotate-key   replace a key: seal, log, tags, orders, or those of SSH certificates
  stintd retire-key   give up the earlier keys of SSH certificates
  stintd unit         print a unit for systemd
  stintd wrap-key     have the seal key file open only with a TPM or a PKCS#11 token

The command line for people is stint.`

const serveHelp = `Run the control plane until SIGTERM or an interrupt.

Without settings it keeps its data in ./stint-data in an embedded store, and
listens on 127.0.0.1:7420. Before there is any user, it writes a one-time token
to DIR/bootstrap-token; whoever can read that file becomes the first
administrator with

  stint login --bootstrap-token-file DIR/bootstrap-token --name NAME

A setting comes from its flag, else from the environment, else from the
configuration file, else it has its default.

Environment
  STINT_DATA            as --data
  STINT_DATABASE        as --database; the place for a URL with a password
  STINT_LISTEN          as --listen
  STINT_SEAL_KEY_FILE   as --seal-key-file
  STINT_CONFIG          as --config
  PG...                 what PostgreSQL's own clients read, such as PGPASSFILE

Files
  DIR                   the data folder, for its owner only (0700)
  DIR.key               the seal key, beside the data, never inside: a copy of the
                        data alone opens no secret. Back it up apart. The same on
                        all replicas
  DIR/bootstrap-token   good once, for an hour, while there is no user

Signals
  SIGTERM, SIGINT       stop: finish what is being answered, then the work at hand.
                        Access that is to end meanwhile ends when it starts again,
                        and by the target's own expiry
  SIGHUP                open the audit files anew, after rotation

Exit codes
  0 stopped as asked    1 failure    2 a setting is wrong or not safe

Health is at /healthz and /readyz, numbers at /metrics, the API's description
at /openapi.json. Every setting: docs/reference/config.md`
