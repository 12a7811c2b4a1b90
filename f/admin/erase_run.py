# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Erase the arguments, the result and the log of a run"""

from f.lib.windmill import erase_run


def main(job_id: str) -> dict:
    """Purpose: a key that was shown once is nowhere to be seen again, nor a token that came through a form.

    job_id: of the run, which must have ended

    The other scripts of this folder queue it, a minute ahead.
    """
    erase_run(job_id)
    return {"erased": job_id}
