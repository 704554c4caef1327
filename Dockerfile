# One container with web and worker, and the SQLite file on a volume at /app/var; with PostgreSQL one container each
# (deploy/compose.postgres.yaml).
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements.txt ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY service/operator/translations service/operator/translations
RUN .venv/bin/python -m babel.messages.frontend compile --directory service/operator/translations
COPY workshop/setup.py workshop/
RUN .venv/bin/python -c "from workshop.setup import guard_starts; guard_starts()"

FROM python:3.13-slim
WORKDIR /app
# No VOLUME here: Docker would make a new nameless one for each container, and the events of the last one would be gone.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin dealpost && install -d -o dealpost -g dealpost -m 0700 var
COPY --from=build /app/.venv .venv
COPY gunicorn.conf.py wsgi.py scheduler.py ./
COPY outbox outbox
COPY service service
COPY sandbox sandbox
COPY --from=build /app/service/operator/translations service/operator/translations
ENV PATH=/app/.venv/bin:$PATH HOST=0.0.0.0 PORT=8000 WORKER_IN_WEB=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER dealpost
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=4)"]
CMD ["gunicorn", "wsgi:app"]
