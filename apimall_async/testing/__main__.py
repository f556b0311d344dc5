"""``python -m apimall_async.testing``: a LocalGateway in a process of its own."""

from apimall_async.testing._serve import main


main()
