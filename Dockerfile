# The site, its workers and its commands in one image. Expects at run time: DATABASE_URL (holdfast_app), REDIS_URL,
# SECRET_KEY, PRIVACY_KEY, PUBLIC_URL, ALLOWED_HOSTS, EMAIL_URL; a proxy in front speaks HTTPS and sets TRUST_PROXY=1.
FROM python:3.13-slim AS packages
COPY requirements-production.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-production.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin holdfast \
    && install -d -o holdfast -m 0700 /spool
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py CHANGELOG.md pyproject.toml ./
COPY config config
COPY consent consent
COPY messaging messaging
COPY incidents incidents
COPY templates templates
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STATIC_ROOT=/app/static-files DATABASE_POOL=16 \
    SPOOL_DIR=/spool
# Any values will do here: nothing that is gathered depends on them, and none is kept in the image.
RUN SECRET_KEY=gathering-static-files-needs-no-secret PRIVACY_KEY=gathering-static-files-needs-no-key \
    python manage.py collectstatic --noinput -v 0
USER holdfast
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--http", "1", "--no-ws", "--workers", "2", \
     "--blocking-threads", "16", "--respawn-failed-workers", "--log-level", "warning", "config.wsgi:application"]
