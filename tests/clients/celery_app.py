"""How a Celery application is told to use Penstock: by the web application that sends and by the workers alike."""

from celery import Celery

from tests.clients.served import REGION

VISIBILITY_TIMEOUT_SECONDS = 4


def celery_app(broker_url: str) -> Celery:
    """Return an application. The URL is ``sqs://key:secret@host:port//``, key and secret percent-encoded."""
    app = Celery("tasks", broker=broker_url)
    app.conf.update(
        broker_transport_options={
            "region": REGION,
            "is_secure": False,
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "queue_name_prefix": "celery-",
            "polling_interval": 0.1,
        },
        task_default_queue="tasks",
        worker_enable_remote_control=False,  # needs SNS
    )
    return app
