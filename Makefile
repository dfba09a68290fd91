SWIFT ?= swift
PREFIX ?= /usr/local
SQUALL := .build/release/squall

.PHONY: run build test lint bench micro install deb image check-package check-image setup clean

# What this machine can send: `make run`, or `make run ARGS="run http://host/ -c 256 -d 30s"`.
run: build
	$(SQUALL) $(ARGS)

build: setup
	$(SWIFT) build -c release --product squall

# One part after the other: those that measure time want the CPUs for themselves.
test:
	scripts/setup test
	$(SWIFT) build -c release --build-tests
	for part in 'PureTests|SimulationTests' EngineTests EndToEndTests; do \
	  $(SWIFT) test -c release --skip-build --filter "$$part" || exit 1; done

lint:
	$(SWIFT) format lint --strict -r Package.swift Sources Tests Benchmarks

bench: build
	@scripts/setup bench
	$(SWIFT) run -c release --package-path Benchmarks compare $(ARGS)

# The parts alone, held against Benchmarks/Thresholds.
micro: setup
	Benchmarks/micro $(ARGS)

# One file that needs no Swift on the machine it runs on.
install: setup
	install -D "$$(scripts/portable)" $(DESTDIR)$(PREFIX)/bin/squall

# The Debian package, and the image, by podman, buildah or docker.
deb: setup
	scripts/deb

image: setup
	scripts/image

# Both are made, and used in a Debian of their own. They take minutes and root, so no test does it.
check-package check-image:
	@scripts/setup check
	scripts/$@

setup:
	@scripts/setup

clean:
	rm -rf .build .build-install
