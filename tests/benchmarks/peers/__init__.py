"""How others send the same mails: django-post_office, and a plain Celery task with Django's `send_mail`."""
