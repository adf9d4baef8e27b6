# make run     open ConvScope (without a display: its demonstration into demo/)
# make test    everything that is checked: lint, format, types, import rules, tests
# make bench   every benchmark; each ends with one JSON line

PYTHON ?= python3
RUN = .venv/bin/python

.PHONY: run test bench

run:
	@$(PYTHON) packaging/prepare.py
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; then \
		exec $(RUN) main.py; \
	else \
		echo "There is no display here, so the demonstration is drawn into demo/ instead."; \
		exec $(RUN) main.py demo --out demo/; \
	fi

test:
	@$(PYTHON) packaging/prepare.py test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	.venv/bin/lint-imports
	CONVSCOPE_NO_QT=1 $(RUN) -m pytest -p no:pytest-qt -n logical --maxprocesses 4 --dist loadfile tests/engine
	QT_QPA_PLATFORM=offscreen $(RUN) -m pytest --ignore tests/engine

bench:
	@$(PYTHON) packaging/prepare.py test
	@$(RUN) -m benchmarks
