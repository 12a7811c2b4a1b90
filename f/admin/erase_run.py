"""Erase the arguments, the result and the log of a run"""

from f.lib.windmill import erase_run


def main(job_id: str) -> dict:
    """Purpose: a key that was shown once is nowhere to be seen again, nor a token that came through a form.

    job_id: of the run, which must have ended

    The other scripts of this folder queue it, a minute ahead.
    """
    erase_run(job_id)
    return {"erased": job_id}
