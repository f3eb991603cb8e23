"""Publishing and loading datasets at exact revisions, through `huggingface_hub`; and an embedded Hub to do it without
the network.

    client.py      the one client code path: publish, fetch, tags, whoami; each in a fresh process, hub_worker.py
    embedded.py    starts (or finds) an embedded Hub and gives its endpoint and token
    server.py      its process: one server a root folder; app.py, api.py, files.py, uploads.py answer the requests;
                   store.py, git.py and objects.py keep what was published
"""
