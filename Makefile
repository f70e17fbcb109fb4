# The commands of this repository. Everything they produce lies in build/; the real build description is CMakeLists.txt.
.DEFAULT_GOAL := help
.PHONY: help setup build demo check check-asan-torch bench format
SHELL := /bin/bash

# More flags for CMake, such as CMAKE_FLAGS=-DTorch_DIR=/path/to/libtorch/share/cmake/Torch
CMAKE_FLAGS ?=
JOBS ?= $(shell nproc)
BIN := build/release/bin
# The same for `build` and `check`, so that neither configures anew after the other.
RELEASE_FLAGS = -DTROUPE_BUILD_TESTS=ON -DTROUPE_CHECK_SANITIZED=ON $(CMAKE_FLAGS)

help: ## show this
	@echo "troupe: Mixture-of-Experts as a company of actors"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make check-asan-torch TESTS=REGEX   only these tests.   $(BIN)/troupe --help   the program itself"

setup: ## install what is missing: Debian packages, CAF, Catch2, LibTorch
	@scripts/setup

build: setup ## build the programs into build/release/bin (no tests)
	@TARGET=programs scripts/build release $(RELEASE_FLAGS)

demo: build ## set up, build, and train FashionMNIST over a head and two expert nodes
	$(BIN)/troupe train --data fashion-mnist --nodes 2 --epochs 1

check: setup ## set up, build (also with ASan + UBSan and with TSan), and run every check and test
	@scripts/build asan
	@scripts/build tsan
	@scripts/build release $(RELEASE_FLAGS)
	@ctest --preset release --parallel $$(( $(JOBS) + 2 )) # some wait more than they compute

check-asan-torch: setup ## build everything with ASan + UBSan, LibTorch's users too, and run the tests (slow)
	@scripts/build dev $(CMAKE_FLAGS)
	@ctest --preset dev --parallel $(JOBS) $(if $(TESTS),--tests-regex '$(TESTS)')

bench: build ## measure against PyTorch: one process, RPC, and both of ours (some minutes)
	@bench/run
	@bench/dispatch

format: setup ## let clang-format rewrite the sources in our style
	@git ls-files '*.hpp' '*.cpp' | xargs clang-format -i
