from django.urls import path

from config.urls import urlpatterns as product
from tests.benchmarks.views import BareView, SerializedView

urlpatterns = [*product, path("bare/", BareView.as_view()), path("serialized/", SerializedView.as_view())]
