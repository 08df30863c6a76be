# The qdot command.
