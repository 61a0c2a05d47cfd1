# Stint. `make` builds, `make demo` tells the story, `make test` runs every test.
# Everything needs only Go 1.26, make and root on Debian 12; scripts/setup
# installs the rest from Debian.

GO      ?= go
TOOLS   := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X stint/internal/program.version=$(VERSION)
export CGO_ENABLED ?= 0

# A blank, to write lists as patterns.
space := $(subst ,, )

STORE  ?= sqlite
TRIALS ?= 50
N      ?= 20
AUTO   ?=
# Where deep runs leave their results for the assurance report: EVIDENCE=docs/evidence.
EVIDENCE ?=
MINUTES ?= 10
SEEDS  ?= 200
PAIRS  ?= 10m
UPGRADES ?= 1
RACED  := ./internal/broker ./internal/approvers ./internal/ahead ./internal/ticketdesk ./internal/duty ./internal/oidc ./internal/notify ./internal/egress ./internal/provision ./internal/store ./internal/apiserver ./internal/web ./internal/ident ./internal/siem ./internal/witness ./internal/recording ./internal/agent ./internal/hosts ./internal/hsm/... ./cmd/stint-hsm ./internal/gateway/... ./internal/connector ./internal/connector/all ./internal/connector/linux ./internal/connector/hook ./internal/connector/postgres ./internal/pgtest ./internal/elevate/... ./internal/archive ./internal/shelf ./internal/signpage ./cmd/stint-witness

.PHONY: all help build generate setup demo test check unit rest race dex s3 e2e chaos chaos-checkout db-compare failover upgrade sim sim-pairs sim-mutants sim-deletions bench storm soak drill proofs attacks assurance cross clean

all: build

## What there is to make.
help:
	@awk '/^## ?/ {sub(/^## ?/, ""); text = text "\n        " $$0; next} /^[a-z-]+:/ && text {sub(/:.*/, ""); print $$0 text; text = ""; next} {if (!/^[A-Z]+ *\?=/) text = ""}' Makefile

## The programs, in bin/. One of them has C in it, stint-hsm: without a C compiler it is
## built without PKCS#11, says so, and everything else is as it would be.
build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...
	@if command -v "$$($(GO) env CC)" >/dev/null; then set -x; \
	CGO_ENABLED=1 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/stint-hsm; \
	else echo "build: there is no C compiler: bin/stint-hsm has no PKCS#11"; fi

## The Go code of the console's templates, internal/web/**/*.templ. It is committed, so
## that building takes nothing but Go; a test fails when it is stale.
generate:
	$(TOOLS) templ generate -path internal/web

## What the tests and the demo need of Debian's packages.
setup:
	@scripts/setup

## The main job, told and checked: STORE=sqlite|postgres, AUTO=1 runs unattended.
demo: setup build
	$(GO) run ./test/demo -bin bin -store $(STORE) $(if $(AUTO),-auto)

## Every test. About half an hour on two cores with warm caches, of them ten for
## browsers and four for 200 seeds of the simulation.
test: setup check build cross rest race e2e
	@$(MAKE) --no-print-directory sim SEEDS=200
	@$(MAKE) --no-print-directory chaos TRIALS=10 WITHIN=30s STORE=sqlite
	@$(MAKE) --no-print-directory chaos TRIALS=10 WITHIN=30s STORE=postgres
	@$(MAKE) --no-print-directory chaos-checkout TRIALS=3
	@$(MAKE) --no-print-directory demo AUTO=1
	@echo "make test: everything passed"

## Form: gofmt, vet, staticcheck, known vulnerabilities.
check:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "gofmt -l:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	@if command -v "$$($(GO) env CC)" >/dev/null; then set -x; CGO_ENABLED=1 $(GO) vet ./cmd/stint-hsm; fi
	$(TOOLS) staticcheck ./...
	@scripts/vulncheck

## Fast tests, with real PostgreSQL where a target or the store is meant.
unit:
	$(GO) test -timeout 30m ./...

# What the race detector runs only a part of, since it takes minutes there and finds
# nothing more in the rest; a test keeps the list.
SAMPLED := TestEverySingleFault TestEndsWithoutTheStore TestRedTeam TestAttacksInTexts \
	TestAccountName TestMarkName TestLiteral TestOptions TestLeaseNeverOutlives TestMemoryNeverForgetsTooSoon TestRandomTamperingIsFound
## What unit runs and race does not: all other packages, and whole what race does in part.
rest:
	@all=$$($(GO) list ./...) && raced=$$($(GO) list $(RACED)) && set -x && \
	$(GO) test -timeout 30m $$(echo "$$all" | grep -vxF "$$raced")
	$(GO) test -timeout 30m -run '^($(subst $(space),|,$(strip $(SAMPLED))))$$' $(RACED)

## The packages with goroutines, under the race detector. SQLite itself, C that was
## translated, is left out of it: nothing is looked for there, and it takes four times as long.
race:
	CGO_ENABLED=1 $(GO) test -timeout 30m -race -gcflags=modernc.org/sqlite/lib=-race=false -short $(RACED)

## A real identity provider for the end-to-end tests and for docs/identity/oidc.md, in a
## module of its own. The first time takes five minutes of a processor.
dex: bin/dex
bin/dex: tools/dex/main.go tools/dex/go.mod
	cd tools/dex && $(GO) build -trimpath -ldflags '-s -w' -o ../../bin/dex .

## The built binaries against a real PostgreSQL, dex and OpenLDAP, person by person; and
## what reads directories against a real domain controller, which takes the ports of LDAP.
## Pictures of the pages are left in bin/pages, light and dark, for desks and telephones.
PAGES ?= bin/pages
# These wait for clocks, disks and directories most of their time: they run beside the others.
WAITING := TestClockSteps TestTwoAdministratorsAcceptTheClock TestWebhook TestDiskFull TestDatabaseAway TestDiskErrors TestAuditFileFull \
	TestSequencerBlocked TestNoTemporaryFolder TestDirectoryByThePage TestWhoLeavesIsCut TestPartiesAreCut TestTargetDownAndBack TestHost TestPKCS11 TestGatewayByThePage
e2e: build bin/dex
	@mkdir -p $(PAGES)
	$(GO) test -c -tags e2e -o bin/e2e.test ./test/e2e
	@cd test/e2e; export PAGES='$(abspath $(PAGES))'; waiting='^($(subst $(space),|,$(strip $(WAITING))))$$'; log=$$(mktemp); \
	../../bin/e2e.test -test.timeout 40m -test.run "$$waiting" >$$log 2>&1 & beside=$$!; \
	../../bin/e2e.test -test.timeout 40m -test.skip "$$waiting"; code=$$?; \
	wait $$beside || code=1; cat $$log; rm -f $$log; exit $$code
	$(GO) test -count=1 -tags e2e -timeout 10m -run ActiveDirectory ./internal/directory
	$(GO) test -count=1 -tags e2e -timeout 30m ./internal/connector/hook

## Recordings kept in a bucket of a real S3 server, which is built in a module of its own; the
## first time takes minutes of a processor.
s3: bin/versitygw
	$(GO) test -count=1 -tags e2e -timeout 10m -run S3Server ./internal/recording
bin/versitygw: tools/s3/go.mod
	cd tools/s3 && $(GO) build -trimpath -ldflags '-s -w' -o ../../bin/versitygw github.com/versity/versitygw/cmd/versitygw

## kill -9 at random moments, with an oracle that reads the target by itself. By WITHIN of its
## end access is gone; what is due later than that, on a machine that is slow, is not lost but late.
WITHIN ?= 5s
chaos: build
	$(GO) run ./test/chaos -bin bin -store $(STORE) -trials $(TRIALS) -within $(WITHIN) -evidence '$(EVIDENCE)'

## kill -9 while accounts of the vault are rotated: none is locked out, no secret is unknown, and
## what came back is dead, as the target itself says. 500 take a quarter of an hour.
chaos-checkout: build
	$(GO) run ./test/chaos -bin bin -checkout -store $(STORE) -trials $(TRIALS) -evidence '$(EVIDENCE)'

## PostgreSQL's own regression suite, through a gateway and without it: what psql prints is the same
## byte for byte, but for test/dbcompare/differences.txt. SUITE=DIR is src/test/regress of the
## version that is installed; without it Debian's source is fetched. Then the tests of a driver,
## pgx, both ways. About ten minutes.
SUITE ?=
db-compare: build
	@suite='$(SUITE)'; test -n "$$suite" || suite=$$(scripts/postgresql-suite /var/tmp/stint-postgresql-suite) || exit 1; \
	set -x; $(GO) run ./test/dbcompare -bin bin -suite "$$suite" -evidence '$(EVIDENCE)'

## The database server lost under load: two clusters, a synchronous standby, promote.
failover: build
	$(GO) run ./test/failover -bin bin -trials $(TRIALS) -evidence '$(EVIDENCE)'

## Three stintd replaced under load: from the release before, and once more.
upgrade: build
	$(GO) run ./test/upgrade -bin bin -trials $(UPGRADES) -evidence '$(EVIDENCE)'

## Backup at a random moment, life after it, a lost store, a restore, N times: nothing
## that had ended comes back on a real target, and nothing foreign is touched.
drill:
	$(GO) run ./test/proofs -drills $(N) -evidence '$(EVIDENCE)'

## Planted bugs, each of which a simulation must find, in about a quarter of an hour;
## docs/track-record.md has the scores. MUTANT=x runs those whose name contains x.
MUTANT ?=
sim-mutants:
	$(GO) run ./test/sim/mutants -only '$(MUTANT)' $(if $(EVIDENCE),-evidence '$(abspath $(EVIDENCE))') -record docs/track-record.md

## Single statements of protective logic taken away, one at a time: somebody must notice
## that it is gone, or it is excused by name. About half an hour. DELETE=sweep,access/grant takes
## other files (a name in internal/broker, or package/name), SAMPLE=n every n-th statement.
DELETE ?= protective
SAMPLE ?= 1
sim-deletions:
	$(GO) run ./test/sim/mutants -delete '$(DELETE)' -only '$(MUTANT)' -sample $(SAMPLE) -seeds 2 -singles=false $(if $(EVIDENCE),-evidence '$(abspath $(EVIDENCE))') -record docs/track-record.md

## Numbers, as ratios side by side in one run; see docs/benchmarks.md. About 6 minutes
## with SQLite. 1, 100, 1,000 and 10,000 grants that end at once are part of it.
bench: build
	$(GO) run ./test/bench -bin bin -store $(STORE) -evidence '$(EVIDENCE)'

## Very much at once, on simulated targets; see docs/benchmarks.md. The waits alone are
## about 7 minutes; 100,000 ends at one instant are most of it. A million live grants:
## STORM='-parts live -live 10000,1000000', of which the filling takes longest.
storm:
	$(GO) run ./test/storm -store $(STORE) -evidence '$(EVIDENCE)' $(STORM)

## stintd under load for so many minutes; fails when something grows.
soak: build
	$(GO) run ./test/bench -bin bin -store $(STORE) -parts soak -soak $(MINUTES)m -evidence '$(EVIDENCE)'

## A simulated day for each of SEEDS seeds, with faults at every step, and each single
## fault at each step of six stories; SEED=x replays one. See docs/simulation.md.
sim:
ifdef SEED
	$(GO) test -count=1 ./test/sim -run '^TestSeed$$' -sim.seed=$(SEED)
else
	$(GO) test -count=1 -timeout 24h ./test/sim -v -run '^Test(Seeds|Singles|Replay)$$' -sim.seeds=$(SEEDS) $(if $(EVIDENCE),-sim.evidence='$(abspath $(EVIDENCE))')
endif

## Pairs of faults in the two short stories, for as long as PAIRS says.
sim-pairs:
	$(GO) test -count=1 -timeout 24h ./test/sim -v -run '^TestPairs$$' -sim.pairs=$(PAIRS) $(if $(EVIDENCE),-sim.evidence='$(abspath $(EVIDENCE))')

## Tests that prove an invariant by themselves, by name; all are part of `make test`.
proofs: build
	$(GO) run ./test/proofs -evidence '$(EVIDENCE)'

## Approvals by passkey under attack: 200,000 random sequences of stolen sessions, replays,
## bent signatures and a pen in the database. About ten minutes of one core.
attacks:
	$(GO) test -count=1 -timeout 4h ./internal/passkey -run 'TestSequences' -rapid.checks=200000 -v

## docs/assurance.md from the results that the deep tests left in docs/evidence.
assurance:
	$(GO) run ./test/assurance

## The CLI also builds for other systems.
cross:
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/stint
	GOOS=windows GOARCH=amd64 $(GO) build -o /dev/null ./cmd/stint

## Away with what was built.
clean:
	rm -rf bin
