/* The agent's program on Windows: its command line, and the host of its service. */
#ifndef KEYFAST_LAUNCHER_H
#define KEYFAST_LAUNCHER_H

#include <windows.h>

#define SERVICE_NAME L"KeyfastAgent"

/* Characters of a path or command line, the terminating zero included. */
#define PATH_ROOM 1024

/* Exit codes beside those of the agent itself. */
#define EXIT_NO_PYTHON 70
#define EXIT_NO_SERVICE_MANAGER 71
#define EXIT_NO_CHILD 72

/* Runs Python in this process with the agent's command line; returns its exit code. */
int run_python(int count, wchar_t **arguments);

/* Hands this process to the service manager; returns when the service has stopped. */
int run_service(void);

/* Lets only SYSTEM and the administrators read the copies Windows keeps of our packages; returns an error code. */
DWORD protect_packages(void);

/* Runs one of the agent's commands for an installer, which gives it no streams; what it says goes to the log. */
int run_logged(const wchar_t *command);

/* A running agent: its process, its job, and the two pipes that lead to it. */
struct child {
  HANDLE process;
  HANDLE job;
  HANDLE input;
  HANDLE pump;
};

/* Starts the agent with a command line, with what it writes going to the log; FALSE if it cannot be started. */
BOOL child_start(struct child *child, const wchar_t *command);

/* Asks it to end by closing its input, and ends it with all it started after ``patience`` milliseconds. */
void child_stop(struct child *child, DWORD patience);

/* Lets go of a child that has ended. */
void child_close(struct child *child);

/* Adds a line of the host's own to the log. */
void log_line(const char *text, DWORD number);

/* Adds bytes to the log; a log that has grown is moved aside first. One thread writes at a time. */
void log_bytes(const char *bytes, DWORD count);

/* Prepares the folder of the log; without one nothing is logged. */
void log_open(void);

#endif
