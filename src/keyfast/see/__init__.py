"""Reading what sites with Symantec Endpoint Encryption can export: registry, inventories, logs of IIS.

Nothing is installed and nothing is changed there. Every file is a stranger's: damaged parts are counted and passed
over, and what is read is made safe to show (``core.visible``) on the way in. Files are streamed; only what is told
of an offline hive and of client versions is held in memory.
"""
