"""Every attack by ours and by the peers on trained networks: success and distance beside the time.

contest.py   one attack of one library, measured
networks.py  the networks, and the images that they know
budgets.py   ε, steps, queries and features, the same for all
ours.py, recipe.py, foolbox.py, torchattacks.py, art.py, adversarial_library.py   the attacks of a library, by name
"""
