"""What a task asks for, one sort of goal a file: said in words, done, seen to be done, played."""
