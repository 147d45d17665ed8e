"""What other programs may read: `/api/v1/`. One file a resource; `urls.RESOURCES` lists them."""
